/** What lies in the store's folders, file by file, with none of it in memory whole. */
import { join } from 'node:path'
import { entriesOf } from '../index/folders.ts'
import { algorithmOf, type Digest, hexOf, isDigest } from '../oci/digest.ts'
import { type Layout, localRegistry } from '../store/layout.ts'

const algorithms = ['sha256', 'sha512'] as const

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
      const digest = digestOfName(name)
      if (digest) found(digest, join(folder, name))
    }
  }
  await below(localNames(layout))
}

export function localNames(layout: Layout): string {
  return join(layout.names, localRegistry)
}

/** The digests that records in a folder are named after. */
export async function* digestsIn(folder: string): AsyncGenerator<Digest> {
  for await (const { name } of entriesOf(folder)) {
    const digest = digestOfName(name)
    if (digest) yield digest
  }
}

/** Whatever lies among the pushed bytes under a digest's name. */
export async function* pushedDigests(layout: Layout): AsyncGenerator<Digest> {
  for (const algorithm of algorithms) {
    const area = join(layout.root, 'pushed', algorithm)
    for await (const { name: shard } of entriesOf(area)) {
      for await (const { name } of entriesOf(join(area, shard))) {
        const digest = `${algorithm}:${name}`
        if (isDigest(digest) && algorithmOf(digest) === algorithm && hexOf(digest).startsWith(shard))
          yield digest
      }
    }
  }
}

export async function countOf(entries: AsyncIterable<unknown>, signal: AbortSignal): Promise<number> {
  let count = 0
  for await (const _ of entries) {
    signal.throwIfAborted()
    count += 1
  }
  return count
}

function digestOfName(name: string): Digest | undefined {
  const digest = name.replace('-', ':')
  return isDigest(digest) ? digest : undefined
}
