/** The `Forwarded` header (RFC 7239 §4). */

/** What one proxy says of the request that it passed on. */
export interface Hop {
  /** Who asked it: an address, perhaps with a port, or a name of its own making. */
  readonly for?: string
  readonly proto?: string
  readonly host?: string
}

const token = String.raw`[!#$%&'*+.^_\x60|~\w-]+`
/** A parameter with its value, a token or in quotes, and what ends it. */
const parameter = new RegExp(
  String.raw`[ \t]*(${token})=(?:(${token})|"((?:[^"\\]|\\.)*)")[ \t]*(;|,|$)|[ \t]*(;|,|$)`,
  'suy',
)

/** From who was asked first to who passed it on last. Nothing at all where any of it is not of the header's form. */
export function parseForwarded(header: string): Hop[] {
  if (header === '') return []
  const hops: Hop[] = []
  let hop: Record<string, string> = {}
  parameter.lastIndex = 0
  for (;;) {
    const match = parameter.exec(header)
    if (!match) return []
    const [, name, bare, quoted, end = match[5]] = match
    if (name !== undefined) hop[name.toLowerCase()] = bare ?? (quoted ?? '').replaceAll(/\\(.)/gsu, '$1')
    if (end === ';') continue
    hops.push(hop)
    if (end === '') return hops
    hop = {}
  }
}
