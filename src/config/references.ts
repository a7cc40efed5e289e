/** `${NAME}` and `file:path` in a configuration become what they stand for, before anything is checked. */
import { isPair, isScalar, isSeq, type Scalar, visit } from 'yaml'
import { type ConfigDocument, formatPath } from './document.ts'
import type { Problem } from './problem.ts'
import { readFailure, type Sources } from './sources.ts'

/** Under these keys a value may be `file:path`. */
const fileKeys = new Set([
  'username',
  'password',
  'sentinelUsername',
  'sentinelPassword',
  'secret',
  'token',
  'ca',
  'clientCa',
  'clientCrl',
  'cert',
  'key',
  'accessKeyId',
  'secretAccessKey',
  'jwks',
  'htpasswd',
])
/** Of these, what anybody may know; the others are secrets. */
const openKeys = new Set([
  'username',
  'sentinelUsername',
  'ca',
  'clientCa',
  'clientCrl',
  'cert',
  'accessKeyId',
  'jwks',
])
/** Texts of several lines; a secret has one. */
const textKeys = new Set(['ca', 'clientCa', 'clientCrl', 'cert', 'key', 'jwks', 'htpasswd'])

interface Place {
  scalar: Scalar<string>
  /** The key it is the value of; undefined in a list. */
  key: string | undefined
  /** Found out only where it is needed: it takes as long as the lists on the way are. */
  path: () => (string | number)[]
}

export interface Surroundings {
  sources: Sources
  env: Readonly<Record<string, string | undefined>>
}

export interface Resolution {
  readonly problems: Problem[]
  /** Secrets that lie open. */
  readonly warnings: Problem[]
}

/** Changes the document in place; what cannot be resolved stays as it is. */
export async function resolveReferences(
  document: ConfigDocument,
  surroundings: Surroundings,
): Promise<Resolution> {
  const resolution: Resolution = { problems: [], warnings: [] }
  for (const place of placesOf(document)) {
    const at = (message: string) =>
      document.at(place.scalar.range?.[0] ?? 0, formatPath(place.path()), message)
    try {
      const { value, secretFile } = await resolveValue(place, surroundings)
      place.scalar.value = value
      if (secretFile !== undefined)
        resolution.warnings.push(...(await openSecret(secretFile, at, surroundings)))
    } catch (error) {
      if (!(error instanceof Unresolved)) throw error
      resolution.problems.push(at(error.message))
    }
  }
  return resolution
}

async function openSecret(
  path: string,
  at: (message: string) => Problem,
  { sources }: Surroundings,
): Promise<Problem[]> {
  const mode = await orUnresolved(sources.resolve(path), () => sources.tooWide(path))
  if (mode === undefined) return []
  return [
    at(
      `${sources.resolve(path)} holds a secret and is open to everybody on this machine (mode ${mode}): take that away with chmod o=`,
    ),
  ]
}

interface Resolved {
  readonly value: string
  /** As the configuration names it. */
  readonly secretFile?: string
}

class Unresolved extends Error {}

function placesOf(document: ConfigDocument): Place[] {
  const places: Place[] = []
  visit(document.yaml, {
    Scalar(at, scalar, ancestors) {
      if (at === 'key' || typeof scalar.value !== 'string') return
      const parent = ancestors.at(-1)
      const key = isPair(parent) && isScalar(parent.key) ? String(parent.key.value) : undefined
      places.push({ scalar: scalar as Scalar<string>, key, path: () => pathOf([...ancestors, scalar]) })
    },
  })
  return places
}

/** From the document down to the value. */
function pathOf(nodes: readonly unknown[]): (string | number)[] {
  return nodes.flatMap((node, at): (string | number)[] => {
    if (isPair(node)) return isScalar(node.key) ? [String(node.key.value)] : []
    const parent = nodes[at - 1]
    return isSeq(parent) ? [parent.items.indexOf(node)] : []
  })
}

async function resolveValue(
  { scalar, key = '', path }: Place,
  { env, sources }: Surroundings,
): Promise<Resolved> {
  const text = substitute(scalar.value, env)
  if (fileKeys.has(key) && text.startsWith('file:')) {
    const file = text.slice('file:'.length)
    const content = await readNamed(sources, file)
    const value = textKeys.has(key) ? content : oneLine(content, text)
    return openKeys.has(key) ? { value } : { value, secretFile: file }
  }
  if (key !== 'file' && key !== 'docker') return { value: text }
  const [holder, outer] = path()
    .slice(0, -1)
    .filter(step => typeof step === 'string')
    .toReversed()
  if (key === 'file' && holder === 'credentials')
    return { value: oneLine(await readNamed(sources, text), text), secretFile: text }
  if (holder !== 'credentials' && !(holder === 'gar' && outer === 'credentials')) return { value: text }
  await readable(sources, text)
  return { value: text, secretFile: text }
}

/** `$${` stands for a `${` that is meant as it is. */
function substitute(text: string, env: Surroundings['env']): string {
  return text.replaceAll(/\$\$\{|\$\{([^}]*)\}?/g, (found, name: string | undefined) => {
    if (name === undefined) return '${'
    if (!found.endsWith('}') || !/^[A-Za-z_]\w*$/.test(name)) {
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is what a person is to write
      throw new Unresolved('`${` begins a variable, as in `${HUB_USER}`; for the characters write `$${`')
    }
    const value = env[name]
    if (value === undefined) throw new Unresolved(`the environment variable ${name} is not set`)
    return value
  })
}

async function readNamed(sources: Sources, path: string): Promise<string> {
  return orUnresolved(sources.resolve(path), () => sources.read(path))
}

async function readable(sources: Sources, path: string): Promise<void> {
  await orUnresolved(sources.resolve(path), () => sources.assertReadable(path))
}

async function orUnresolved<T>(path: string, attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt()
  } catch (error) {
    throw new Unresolved(`${path} cannot be read: ${readFailure(error)}`)
  }
}

/** Editors and `echo` end a file with a line break, which is no part of a secret. */
function oneLine(content: string, name: string): string {
  const line = content.trimEnd()
  if (line === '') throw new Unresolved(`${name} is empty`)
  if (/[\r\n]/.test(line)) throw new Unresolved(`${name} has more than one line`)
  return line
}
