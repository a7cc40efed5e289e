/** What lies in the store's folders, some names at a time, with none of it in memory whole. */
import type { Dir } from 'node:fs'
import { opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, fromDashed, isDigest } from '../oci/digest.ts'
import type { Layout } from '../store/layout.ts'
import { isCode } from '../store/system-error.ts'

/** Gone through in one turn of the loop: well under a millisecond. */
const namesAtOnce = 256

/**
 * Names in a folder in no order; none when there is no such folder. Each time in the same array: of arrays that are often
 * held for long V8 makes the next ones among the old objects, where the dead ones keep every name in memory.
 */
async function* namesIn(folder: string): AsyncGenerator<readonly string[]> {
  let dir: Dir
  try {
    dir = await opendir(folder, { bufferSize: namesAtOnce })
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return
    throw error
  }
  const names: string[] = []
  try {
    for (await readNext(dir, names); names.length > 0; await readNext(dir, names)) yield names
  } finally {
    await dir.close()
  }
}

/** None at the end. As an async iterable the folder makes several promises of each name: a million names show it. */
function readNext(dir: Dir, names: string[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  names.length = 0
  const read = () =>
    dir.read((error, entry) => {
      if (error) return reject(error)
      if (entry) names.push(entry.name)
      if (!entry || names.length === namesAtOnce) return resolve()
      read()
    })
  read()
  return promise
}

/**
 * Every record by which a local repository holds bytes, told by the names of folders and files alone: what is in a record,
 * and whether the folders make a repository's name, is of no consequence.
 *
 * @param found with the digest and the folder and name of the record
 */
export async function eachLink(
  layout: Layout,
  { signal, found }: { signal: AbortSignal; found: (digest: Digest, folder: string, name: string) => void },
): Promise<void> {
  const below = async (folder: string): Promise<void> => {
    for await (const names of namesIn(folder)) {
      for (const name of names) {
        signal.throwIfAborted()
        const path = join(folder, name)
        if (name === '_blobs' || name === '_manifests') await within(path)
        else if (!name.startsWith('_')) await below(path)
      }
    }
  }
  const within = async (folder: string): Promise<void> => {
    for await (const names of namesIn(folder)) {
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
export async function* digestsIn(folder: string): AsyncGenerator<readonly Digest[]> {
  for await (const names of namesIn(folder))
    yield names.map(fromDashed).filter(digest => digest !== undefined)
}

/** Whatever lies among the pushed bytes where its digest belongs. */
export async function* pushedDigests(layout: Layout): AsyncGenerator<readonly Digest[]> {
  for await (const algorithms of namesIn(layout.pushedBytes))
    for (const algorithm of algorithms)
      for await (const shards of namesIn(join(layout.pushedBytes, algorithm)))
        for (const shard of shards) yield* pushedIn(layout, algorithm, shard)
}

async function* pushedIn(
  layout: Layout,
  algorithm: string,
  shard: string,
): AsyncGenerator<readonly Digest[]> {
  const folder = join(layout.pushedBytes, algorithm, shard)
  for await (const names of namesIn(folder)) {
    yield names
      .map(name => `${algorithm}:${name}`)
      .filter(isDigest)
      .filter(digest => layout.pushed(digest).startsWith(`${folder}/`))
  }
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
