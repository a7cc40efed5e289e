/** How many bytes of cached content lie in a store, finished and unfinished, while they come and go. */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

export interface Occupancy {
  /** Under their digests. */
  readonly cachedBytes: number
  readonly partialBytes: number
  readonly files: number
}

interface Seen {
  readonly path: string
  readonly bytes: number
  readonly isPartial: boolean
}

/** @param suspiciousBytes a sum above this is looked at again: no sum of what lay there at different moments is told */
export function occupancyOf(store: string, suspiciousBytes = Number.POSITIVE_INFINITY): Occupancy {
  const seen = look(store)
  const first = sumOf(seen.values())
  if (first.cachedBytes + first.partialBytes <= suspiciousBytes) return first
  // What lies there still, as large as it was, lay there all at once when the first look ended.
  return sumOf([...seen].filter(([inode, { path }]) => inodeOf(path) === inode).map(([, file]) => file))
}

/** By inode, so that what gets its name meanwhile counts once. */
function look(store: string): Map<number, Seen> {
  const seen = new Map<number, Seen>()
  for (const path of filesUnder(join(store, 'partial'))) {
    if (!path.endsWith('.note')) add(seen, path, true)
  }
  for (const path of filesUnder(join(store, 'cached'))) add(seen, path, false)
  return seen
}

function add(seen: Map<number, Seen>, path: string, isPartial: boolean): void {
  const file = statSync(path, { throwIfNoEntry: false })
  if (file?.isFile()) seen.set(file.ino, { path, bytes: file.size, isPartial })
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino
}

function sumOf(files: Iterable<Seen>): Occupancy {
  const sum = { cachedBytes: 0, partialBytes: 0, files: 0 }
  for (const { bytes, isPartial } of files) {
    if (isPartial) sum.partialBytes += bytes
    else sum.cachedBytes += bytes
    sum.files += 1
  }
  return sum
}

export function filesUnder(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
    return entries.filter(entry => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [] // nothing was ever put there
    throw error
  }
}
