/** Reading `WWW-Authenticate` (RFC 9110 §11.6.1) as registries really write it. */

export interface Challenge {
  /** Lower-case. */
  scheme: string
  /** Names are lower-case. */
  params: ReadonlyMap<string, string>
}

/** Longer headers are no challenge that anybody means. */
const maxLength = 16 * 1024

/** One `name = value` pair (quoted or bare), or the word that begins a challenge. */
const part = /([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?/g

/** Every challenge of all header lines, in order. A scope may hold commas, quotes may be missing. */
export function parseChallenges(header: string | readonly string[] | undefined): Challenge[] {
  const lines = typeof header === 'string' ? [header] : (header ?? [])
  return lines.filter(line => line.length <= maxLength).flatMap(parseLine)
}

function parseLine(line: string): Challenge[] {
  const challenges: { scheme: string; params: Map<string, string> }[] = []
  for (const [, name = '', quoted, bare] of line.matchAll(part)) {
    const value = quoted?.replaceAll(/\\(.)/g, '$1') ?? bare
    if (value === undefined && isTailOfScope(name, challenges.at(-1)?.params)) continue
    if (value === undefined) challenges.push({ scheme: name.toLowerCase(), params: new Map() })
    else challenges.at(-1)?.params.set(name.toLowerCase(), value)
  }
  return challenges
}

/** `scope=repository:a:pull,push` without quotes: the comma belongs to the scope, `push` begins no challenge. */
function isTailOfScope(word: string, params: Map<string, string> | undefined): boolean {
  const scope = params?.get('scope')
  if (scope === undefined || !/^(?:pull|push|delete|\*)$/.test(word)) return false
  params?.set('scope', `${scope},${word}`)
  return true
}
