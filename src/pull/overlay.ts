/** Listings of an overlay: what is here and what upstream has, as one list. */
import { UpstreamError } from '../upstream/upstream-error.ts'

/**
 * What upstream lists; undefined where it knows no such repository, or is not to be asked for it. Any other failure is
 * the whole list's: one that leaves half out would be a lie.
 */
export async function unlessAbsent<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked
  } catch (error) {
    if (error instanceof UpstreamError && (error.absent || error.failure === 'not-allowed')) return undefined
    throw error
  }
}

/**
 * The first `limit` of several pages that begin after the same place, each in byte order. Of two with one name the
 * earlier page's is taken.
 */
export function mergePages<T>(
  pages: readonly (readonly T[])[],
  nameOf: (entry: T) => string,
  limit: number,
): T[] {
  const filled = pages.filter(page => page.length > 0)
  if (filled.length < 2) return (filled[0] ?? []).slice(0, limit)
  const byName = new Map<string, T>()
  for (const entry of filled.flat()) {
    const name = nameOf(entry)
    if (!byName.has(name)) byName.set(name, entry)
  }
  return sorted([...byName.values()], nameOf).slice(0, limit)
}

/** A page of what is known whole. */
export function pageOf<T>(
  entries: readonly T[],
  nameOf: (entry: T) => string,
  { last, limit }: { last: string | undefined; limit: number },
): T[] {
  const rest = last === undefined ? entries : entries.filter(entry => nameOf(entry) > last)
  return sorted([...rest], nameOf).slice(0, limit)
}

/** Names are ASCII: the order of their bytes is that of their characters. */
function sorted<T>(entries: T[], nameOf: (entry: T) => string): T[] {
  return entries.sort(
    (one, other) => Number(nameOf(one) > nameOf(other)) - Number(nameOf(one) < nameOf(other)),
  )
}
