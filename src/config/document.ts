/** The configuration file as YAML whose every value still knows its line and column. */
import {
  type Document,
  type ErrorCode,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
} from 'yaml'
import type { Problem } from './problem.ts'

export type Path = readonly (string | number)[]

/** Expanded aliases; more of them are an attack or a mistake. */
const maxAliases = 100
/** Each is looked for in the whole file. */
const maxAliasNodes = 1_000
const maxQuoted = 60

const inQuotes = 'a text that begins so has to stand in quotes'

/** In place of messages that quote what they complain of: a password may begin with `*` or `!`. */
const ownWords: Readonly<Partial<Record<ErrorCode, string>>> = {
  RESOURCE_EXHAUSTION: 'is nested more deeply than a configuration can be',
  TAG_RESOLVE_FAILED: `there is no such !tag; ${inQuotes}`,
}

const noValue = 'expected a key and a value: a value with a comma in it belongs in quotes'

export class ConfigDocument {
  readonly yaml: Document.Parsed
  readonly #text: string
  readonly #lines = new LineCounter()

  constructor(text: string) {
    this.#text = text
    // Pretty errors quote the line they complain of, which may hold a password.
    // Its own check for keys that are there twice takes the square of their number.
    this.yaml = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, uniqueKeys: false })
  }

  /** Mistakes of YAML itself; with any of them there is nothing more to look at. */
  syntaxProblems(): Problem[] {
    const { contents, errors, warnings } = this.yaml
    const problems = [...errors, ...warnings].map(({ code, message, pos }) =>
      this.at(pos[0], '', ownWords[code] ?? message),
    )
    let aliases = 0
    visit(this.yaml, {
      Map: (_, { items }) => {
        for (const problem of this.#twice(items.map(({ key }) => key))) problems.push(problem)
      },
      Alias: (_, alias) => {
        aliases += 1
        if (aliases > maxAliasNodes) {
          problems.push(this.at(offsetOf(alias), '', 'has more aliases (*name) than a configuration needs'))
          return visit.BREAK
        }
        if (!alias.resolve(this.yaml))
          problems.push(this.at(offsetOf(alias), '', `there is no &name before this *name; ${inQuotes}`))
        return undefined
      },
    })
    if (problems.length > 0 || isMap(contents)) return problems
    const isEmpty = contents === null || (isScalar(contents) && contents.value === null)
    return [
      this.at(
        offsetOf(contents),
        '',
        isEmpty ? 'is empty; it needs `upstreams`' : 'expected keys such as `upstreams:`',
      ),
    ]
  }

  #twice(keys: readonly unknown[]): Problem[] {
    const seen = new Set<unknown>()
    return keys.filter(isScalar).flatMap(key => {
      const isSecond = seen.has(key.value)
      seen.add(key.value)
      return isSecond ? this.at(offsetOf(key), '', 'this key stands here twice') : []
    })
  }

  /** The plain values. @throws ReferenceError for too many aliases */
  toJS(): unknown {
    return this.yaml.toJS({ maxAliasCount: maxAliases })
  }

  at(offset: number, key: string, message: string): Problem {
    const { line, col } = this.#lines.linePos(offset)
    return { line, column: col, key, message }
  }

  /** A list of one may be written without the list: there the index is no step. */
  asWritten(path: Path): Path {
    const written: (string | number)[] = []
    for (const step of path) {
      if (typeof step === 'number' && isMap(this.#find(written).node)) continue
      written.push(step)
    }
    return written
  }

  /** A problem with the value at a path, or with the nearest thing around it that is there. */
  problemAt(path: Path, message: string): Problem {
    const { node, depth } = this.#find(path)
    // Into a plain value there is no way: the problem is the value itself.
    const shown = isScalar(node) ? path.slice(0, depth) : path
    return this.at(offsetOf(node), formatPath(shown), message)
  }

  /** A problem with a key and not with its value. */
  problemAtKey(path: Path, key: string, message: string): Problem {
    const { node } = this.#find(path)
    const pair = isMap(node)
      ? node.items.find(item => isScalar(item.key) && String(item.key.value) === key)
      : undefined
    const keyNode = isScalar(pair?.key) ? pair.key : node
    // Not named: behind a comma in braces it may be the rest of a password or of its hash.
    if (pair?.value === null) return this.at(offsetOf(keyNode), formatPath(path), noValue)
    const [name = ''] = key.split(':') // `password:secret` without a space is one key
    return this.at(offsetOf(keyNode), formatPath([...path, name]), message)
  }

  /** What stands there, as it is written: references are not resolved, so that no secret shows. */
  quote(path: Path): string {
    const { node, depth } = this.#find(path)
    if (!isScalar(node)) return depth < path.length ? 'nothing' : describe(node)
    if (node.value === null) return 'nothing'
    const [start = 0, end = 0] = node.range ?? []
    const source = withoutUser(this.#text.slice(start, end).replaceAll(/\s+/g, ' '))
    const shown = source.length > maxQuoted ? `${source.slice(0, maxQuoted)}…` : source
    return node.type === 'PLAIN' && typeof node.value === 'string' ? `"${shown}"` : shown
  }

  /** The deepest node on the way, and how many steps of the path lead to it. */
  #find(path: Path): { node: Node | null; depth: number } {
    let node = this.#target(this.yaml.contents)
    for (const [depth, step] of path.entries()) {
      const next = isMap(node) || isSeq(node) ? node.get(step, true) : undefined
      if (next === undefined) return { node, depth }
      node = this.#target(next)
    }
    return { node, depth: path.length }
  }

  #target(node: Node | null): Node | null {
    return isAlias(node) ? (node.resolve(this.yaml) ?? node) : node
  }
}

/** As much is taken for user and password as may be. */
function withoutUser(text: string): string {
  const begin = text.indexOf('//')
  const end = text.lastIndexOf('@')
  return begin < 0 || end < begin ? text : `${text.slice(0, begin)}//<redacted>${text.slice(end)}`
}

function offsetOf(node: Node | null): number {
  return node?.range?.[0] ?? 0
}

function describe(node: Node | null): string {
  if (isMap(node)) return 'keys'
  return isSeq(node) ? 'a list' : 'nothing'
}

/** `upstreams[1].url` */
export function formatPath(path: Path): string {
  return path
    .map(step => (typeof step === 'number' ? `[${step}]` : `.${step}`))
    .join('')
    .replace(/^\./, '')
}
