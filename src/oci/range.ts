/** Byte ranges of a request (RFC 9110 §14). */

/** One range as asked: `first-`, `first-last` or the last `suffix` bytes. */
export type RangeSpec =
  | { readonly kind: 'from'; readonly first: number }
  | { readonly kind: 'closed'; readonly first: number; readonly last: number }
  | { readonly kind: 'suffix'; readonly length: number }

/** Positions of bytes, both inclusive, as in Content-Range. */
export interface ByteRange {
  readonly first: number
  readonly last: number
}

/** More than this is answered 400: podman and stargz then fall back to a full pull or one squashed range. */
export const maxRanges = 256

/** `undefined` for a header that is to be ignored: another unit, or not of the grammar. */
export function parseRange(header: string | undefined): readonly RangeSpec[] | undefined {
  const match = header === undefined ? null : /^bytes=(.*)$/i.exec(header.trim())
  if (!match) return undefined
  const specs: RangeSpec[] = []
  for (const part of (match[1] ?? '').split(',')) {
    const spec = parseSpec(part.trim())
    if (spec === undefined) return undefined
    specs.push(spec)
  }
  return specs
}

/** Positions beyond all integers stay beyond every blob, however they are rounded. */
function parseSpec(text: string): RangeSpec | undefined {
  const match = /^(\d*)-(\d*)$/.exec(text)
  if (!match) return undefined
  const [, first = '', last = ''] = match
  if (first === '') return last === '' ? undefined : { kind: 'suffix', length: Number(last) }
  if (last === '') return { kind: 'from', first: Number(first) }
  return { kind: 'closed', first: Number(first), last: Number(last) }
}

/**
 * The bytes meant, clipped to the size; undefined when the range cannot be satisfied.
 * An inverted range counts as unsatisfiable (416) and not as invalid, as the conformance suite wants it.
 */
export function resolveRange(spec: RangeSpec, size: number): ByteRange | undefined {
  if (spec.kind === 'suffix') {
    if (spec.length === 0 || size === 0) return undefined
    return { first: Math.max(0, size - spec.length), last: size - 1 }
  }
  const last = spec.kind === 'from' ? size - 1 : Math.min(spec.last, size - 1)
  return spec.first <= last ? { first: spec.first, last } : undefined
}

/** The value of Content-Range for a satisfied range. */
export function contentRange({ first, last }: ByteRange, size: number): string {
  return `bytes ${first}-${last}/${size}`
}
