/** What lies in the store's folders, file by file, with none of it in memory whole. */
import { join } from 'node:path'
import { entriesOf, pushedFiles } from '../index/folders.ts'
import { type Digest, fromDashed } from '../oci/digest.ts'
import type { Layout } from '../store/layout.ts'

/**
 * Every record by which a local repository holds bytes, told by the names of folders and files alone: what is in a record,
 * and whether the folders make a repository's name, is of no consequence.
 *
 * @param found with the digest and the record's path
 */
export async function eachLink(
  layout: Layout,
  { signal, found }: { signal: AbortSignal; found: (digest: Digest, path: string) => void },
): Promise<void> {
  const below = async (folder: string): Promise<void> => {
    for await (const { name } of entriesOf(folder)) {
      signal.throwIfAborted()
      const path = join(folder, name)
      if (name === '_blobs' || name === '_manifests') await within(path)
      else if (!name.startsWith('_')) await below(path)
    }
  }
  const within = async (folder: string): Promise<void> => {
    for await (const { name } of entriesOf(folder)) {
      signal.throwIfAborted()
      const digest = fromDashed(name)
      if (digest) found(digest, join(folder, name))
    }
  }
  await below(layout.localNames)
}

/** The digests that records in a folder are named after. */
export async function* digestsIn(folder: string): AsyncGenerator<Digest> {
  for await (const { name } of entriesOf(folder)) {
    const digest = fromDashed(name)
    if (digest) yield digest
  }
}

/** Whatever lies among the pushed bytes where its digest belongs. */
export async function* pushedDigests(layout: Layout): AsyncGenerator<Digest> {
  for await (const { digest, path } of pushedFiles(layout)) if (path === layout.pushed(digest)) yield digest
}

export async function countOf(entries: AsyncIterable<unknown>, signal: AbortSignal): Promise<number> {
  let count = 0
  for await (const _ of entries) {
    signal.throwIfAborted()
    count += 1
  }
  return count
}
