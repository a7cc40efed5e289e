/** What the schema objects to, as problems a person can act on. */
import { z } from 'zod'
import { nearest } from '../runtime/spelling.ts'
import type { ConfigDocument, Path } from './document.ts'
import type { Problem } from './problem.ts'
import { configSchema } from './schema.ts'

type Issue = z.core.$ZodIssue

/** Values under these keys are never quoted. */
const secretKeys = new Set<PropertyKey>([
  'credentials',
  'ca',
  'cert',
  'key',
  'clientCa',
  'clientCrl',
  'secret',
  'proxy',
  'index',
  'accessKeyId',
  'secretAccessKey',
  'jwks',
  'users',
  'htpasswd',
])

/** Of one mapping: whoever has more has another kind of file. */
const mostUnknown = 100

const typeNames: Readonly<Record<string, string>> = {
  array: 'a list',
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a whole number',
}

export function issueProblems(issues: readonly Issue[], document: ConfigDocument): Problem[] {
  return issues.flatMap(issue => {
    const path = issue.path.map(step => (typeof step === 'symbol' ? String(step) : step))
    const place = document.asWritten(path)
    if (issue.code === 'unrecognized_keys') {
      return issue.keys
        .slice(0, mostUnknown)
        .map(key => document.problemAtKey(place, key, unknownKey(key, path)))
    }
    return [document.problemAt(place, messageOf(issue, path) + foundOf(issue, path, document))]
  })
}

function unknownKey(key: string, path: Path): string {
  if (key.includes(':')) return 'unknown key: expected a space behind the colon'
  const allowed = allowedKeys(path)
  const near = nearest(key, allowed)
  const advice = near === undefined ? '' : `, did you mean ${near}?`
  return `unknown key "${key.slice(0, 60)}"${advice} (allowed: ${allowed.join(', ')})`
}

function messageOf(issue: Issue, path: Path): string {
  if (issue.code === 'invalid_type') return expectation(issue.expected, path)
  if (issue.code === 'invalid_value') return `expected ${issue.values.join(' or ')}`
  if (issue.code === 'too_small') return `expected ${amount(issue.origin)} at least ${issue.minimum}`
  if (issue.code === 'too_big') return `expected ${amount(issue.origin)} at most ${issue.maximum}`
  return issue.message
}

function expectation(type: string, path: Path): string {
  if (type === 'object') return `expected keys (${allowedKeys(path).join(', ')})`
  return `expected ${typeNames[type] ?? formOf(path)}`
}

function amount(origin: string): string {
  if (origin === 'array') return 'a list with a length of'
  return origin === 'string' ? 'a text with a length of' : 'a whole number of'
}

function foundOf(issue: Issue, path: Path, document: ConfigDocument): string {
  if (path.some(step => secretKeys.has(step))) return ''
  return issue.input === undefined && issue.code === 'invalid_type'
    ? ', found nothing'
    : `, found ${document.quote(path)}`
}

interface SchemaNode {
  properties?: Record<string, SchemaNode>
  items?: SchemaNode
  form?: string
}

let described: SchemaNode | undefined

/** From the whole schema down to this place, as far as it goes. */
function descriptions(path: Path): SchemaNode[] {
  described ??= z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' }) as SchemaNode
  const nodes = [described]
  for (const step of path) {
    const next = typeof step === 'number' ? nodes.at(-1)?.items : nodes.at(-1)?.properties?.[step]
    if (!next) break
    nodes.push(next)
  }
  return nodes
}

/** The keys that a mapping at this place may have. */
function allowedKeys(path: Path): string[] {
  return Object.keys(descriptions(path).at(-1)?.properties ?? {})
}

/** The kind of text that this place wants. */
function formOf(path: Path): string {
  return descriptions(path).findLast(({ form }) => form !== undefined)?.form ?? 'text'
}
