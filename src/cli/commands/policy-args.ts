/** The question that `layover policy test` asks, as its options say it. */
import { parseArgs } from 'node:util'
import ipaddr from 'ipaddr.js'
import type { Caller, CertificateNames } from '../../access/caller.ts'
import { certificateFields, values } from '../../access/policy/vocabulary.ts'
import type { Action, Question } from '../../access/question.ts'
import { nearest } from '../../runtime/spelling.ts'

export interface PolicyQuestion {
  /** Path of the configuration. */
  readonly config: string
  /** An image or a repository; undefined for what is about none. */
  readonly name: string | undefined
  /** As clients of mirrors send it. */
  readonly ns: string | undefined
  readonly action: Action
  readonly object: Question['object'] | undefined
  /** Instead of the one in the name. */
  readonly reference: string | undefined
  readonly caller: Caller
  readonly client: string
}

/** They are about the registry as a whole. */
const nameless: readonly string[] = ['catalog', 'health', 'metrics']

const text = { type: 'string' } as const
const texts = { type: 'string', multiple: true, default: [] as string[] } as const

const options = {
  config: { ...text, short: 'c', default: 'upstreams.yaml' },
  user: text,
  method: text,
  provider: text,
  claim: texts,
  certificate: texts,
  client: { ...text, default: '127.0.0.1' },
  action: { ...text, default: 'pull' },
  object: text,
  tag: text,
  digest: text,
  ns: text,
} as const

class Misuse extends Error {}

/** The message for a person, when there is nothing to ask. */
export function parsePolicyArgs(args: readonly string[]): PolicyQuestion | string {
  try {
    const parsed = parseArgs({ args: [...args], allowPositionals: true, options })
    return questionOf(parsed.values, parsed.positionals)
  } catch (error) {
    if (error instanceof Misuse) return error.message
    if (!(error instanceof TypeError)) throw error
    return error.message.replace(/\. To specify a positional.*/s, '')
  }
}

type Given = ReturnType<typeof parseArgs<{ options: typeof options }>>['values']

function questionOf(given: Given, [verb, name, ...more]: readonly string[]): PolicyQuestion {
  if (verb !== 'test') throw new Misuse('what there is of policies is `policy test`')
  if (more.length > 0) throw new Misuse(`unexpected argument ${more.join(' ')}`)
  const action = oneOf('action', given.action)
  if (name === undefined && !nameless.includes(action))
    throw new Misuse('say which image or repository: docker.io/library/alpine:3.20')
  if (!ipaddr.isValid(given.client)) throw new Misuse('--client is an address such as 10.1.2.3')
  if (given.tag !== undefined && given.digest !== undefined)
    throw new Misuse('--tag and --digest exclude each other')
  return {
    config: given.config,
    name: nameless.includes(action) ? undefined : name,
    ns: given.ns,
    action: action as Action,
    object: given.object === undefined ? undefined : (oneOf('object', given.object) as Question['object']),
    reference: given.digest ?? given.tag,
    caller: callerOf(given),
    client: given.client,
  }
}

function callerOf({ user = '', provider = '', claim, certificate, method }: Given): Caller {
  return {
    method: oneOf('method', method ?? methodOf({ user, provider, claim, certificate })) as Caller['method'],
    user,
    provider,
    claims: Object.fromEntries(claim.map(claimOf)),
    certificate: certificate.length === 0 ? undefined : certificateOf(certificate),
  }
}

/** What is shown tells how it is shown. */
function methodOf({
  user,
  provider,
  claim,
  certificate,
}: Required<Pick<Given, 'claim' | 'certificate'>> & { user: string; provider: string }): Caller['method'] {
  if (provider !== '' || claim.length > 0) return 'oidc'
  if (certificate.length > 0) return 'certificate'
  return user === '' ? 'anonymous' : 'password'
}

function oneOf(option: 'action' | 'object' | 'method', given: string): string {
  const known = (values[option] ?? []).filter(name => name !== '')
  if (known.includes(given)) return given
  const near = nearest(given, known)
  throw new Misuse(
    `--${option} is one of ${known.join(', ')}${near === undefined ? '' : `: did you mean ${near}?`}`,
  )
}

/** `groups=["a"]` is a list, `name=x` a text. */
function claimOf(given: string): [name: string, value: unknown] {
  const [name, value] = splitPair(given, '--claim is name=value, such as repository=org/app')
  try {
    return [name, JSON.parse(value)]
  } catch {
    return [name, value]
  }
}

function certificateOf(given: readonly string[]): CertificateNames {
  const pairs = given.map(each =>
    splitPair(each, '--certificate is field=name, such as dns=node-1.corp.example'),
  )
  const strange = pairs.find(([field]) => !certificateFields.some(known => known === field))
  if (strange) throw new Misuse(`a certificate has ${certificateFields.join(', ')}, and no ${strange[0]}`)
  const namesOf = (wanted: keyof CertificateNames) =>
    pairs.filter(([field]) => field === wanted).map(([, name]) => name)
  return {
    commonNames: namesOf('commonNames'),
    organizations: namesOf('organizations'),
    dns: namesOf('dns'),
    emails: namesOf('emails'),
    uris: namesOf('uris'),
  }
}

function splitPair(given: string, advice: string): [string, string] {
  const at = given.indexOf('=')
  if (at <= 0) throw new Misuse(advice)
  return [given.slice(0, at), given.slice(at + 1)]
}
