/** What lies in the store's folders, some names at a time, with none of it in memory whole. */
import { join } from 'node:path'
import type { Place } from '../index/folders.ts'
import { type Digest, fromDashed } from '../oci/digest.ts'
import type { RecordNames } from '../store/files/names.ts'

/** Gone through in one turn of the loop: well under a millisecond. */
const namesAtOnce = 256

/**
 * Every record by which a local repository holds bytes, told by the names of folders and files alone: what is in a record,
 * and whether the folders make a repository's name, is of no consequence.
 *
 * @param found with the digest and the folder and name of the record
 */
export async function eachLink(
  { layout, names: recordNames }: Place,
  { signal, found }: { signal: AbortSignal; found: (digest: Digest, folder: string, name: string) => void },
): Promise<void> {
  const below = async (folder: string): Promise<void> => {
    for await (const names of recordNames.in(folder, namesAtOnce)) {
      for (const name of names) {
        signal.throwIfAborted()
        const path = join(folder, name)
        if (name === '_blobs' || name === '_manifests') await within(path)
        else if (!name.startsWith('_')) await below(path)
      }
    }
  }
  const within = async (folder: string): Promise<void> => {
    for await (const names of recordNames.in(folder, namesAtOnce)) {
      signal.throwIfAborted()
      for (const name of names) {
        const digest = fromDashed(name)
        if (digest) found(digest, folder, name)
      }
    }
  }
  await below(layout.localNames)
}

/** The digests that records in a folder are named after. */
export async function* digestsIn(
  recordNames: RecordNames,
  folder: string,
): AsyncGenerator<readonly Digest[]> {
  for await (const names of recordNames.in(folder, namesAtOnce))
    yield names.map(fromDashed).filter(digest => digest !== undefined)
}

export async function countOf(
  batches: AsyncIterable<readonly unknown[]>,
  signal: AbortSignal,
): Promise<number> {
  let count = 0
  for await (const { length } of batches) {
    signal.throwIfAborted()
    count += length
  }
  return count
}
