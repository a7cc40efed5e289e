/** What lies in the folders of the store's records, read as it is needed: none of it is ever in memory whole. */
import type { Dir, Dirent } from 'node:fs'
import { opendir } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { type Algorithm, type Digest, isDigest } from '../oci/digest.ts'
import { isRepositoryName } from '../oci/name.ts'
import { type Layout, localRegistry, type RepositoryKey } from '../store/layout.ts'
import { isCode } from '../store/system-error.ts'

/** Entries that the system is asked for at a time. */
const bufferSize = 256
const algorithms: readonly Algorithm[] = ['sha256', 'sha512']

/** Entries of a folder in no order; none when there is no such folder. */
export async function* entriesOf(folder: string): AsyncGenerator<Dirent> {
  try {
    yield* await opendir(folder, { bufferSize })
  } catch (error) {
    if (!isNoFolder(error)) throw error
  }
}

/**
 * Names in a folder in no order, some at a time; none when there is no such folder. Each time in the same array: of arrays
 * that are often held for long V8 makes the next ones among the old objects, where the dead ones keep every name in memory.
 */
export async function* namesOf(folder: string, count: number): AsyncGenerator<readonly string[]> {
  let dir: Dir
  try {
    dir = await opendir(folder, { bufferSize })
  } catch (error) {
    if (isNoFolder(error)) return
    throw error
  }
  const names: string[] = []
  try {
    for (await readNext(dir, names, count); names.length > 0; await readNext(dir, names, count)) yield names
  } finally {
    await dir.close()
  }
}

/** None at the end. As an async iterable the folder makes several promises of each name: a million names show it. */
function readNext(dir: Dir, names: string[], count: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  names.length = 0
  const read = () =>
    dir.read((error, entry) => {
      if (error) return reject(error)
      if (entry) names.push(entry.name)
      if (!entry || names.length === count) return resolve()
      read()
    })
  read()
  return promise
}

function isNoFolder(error: unknown): boolean {
  return isCode(error, 'ENOENT', 'ENOTDIR')
}

/** Whether the repository has any record of its own. */
export async function holdsAny(layout: Layout, key: RepositoryKey): Promise<boolean> {
  for (const folder of [layout.tags(key), layout.manifests(key), layout.blobs(key)]) {
    if (await hasEntries(folder)) return true
  }
  return false
}

export async function hasEntries(folder: string): Promise<boolean> {
  for await (const _ of entriesOf(folder)) return true
  return false
}

/** Every repository that has a folder for records, whether or not anything is in it. */
export async function* repositoriesOf(layout: Layout): AsyncGenerator<RepositoryKey> {
  for await (const { name } of entriesOf(layout.names)) yield* repositoriesIn(layout, name)
}

export function repositoriesIn(layout: Layout, registry: string): AsyncGenerator<RepositoryKey> {
  return repositoriesBelow(layout, registry, join(layout.names, registry))
}

export function localRepositories(layout: Layout): AsyncGenerator<RepositoryKey> {
  return repositoriesBelow(layout, localRegistry, layout.localNames)
}

/** Those of one registry, in a folder of its records. */
async function* repositoriesBelow(
  layout: Layout,
  registry: string,
  folder: string,
): AsyncGenerator<RepositoryKey> {
  let hasRecords = false
  for await (const { name } of entriesOf(folder)) {
    if (name.startsWith('_')) hasRecords = true
    else yield* repositoriesBelow(layout, registry, join(folder, name))
  }
  const repository = relative(join(layout.names, registry), folder).replaceAll(sep, '/')
  if (hasRecords && isRepositoryName(repository)) yield { registry, repository }
}

/** Whatever lies among the pushed bytes under a digest's name, whether or not in the folder where it belongs. */
export async function* pushedFiles(layout: Layout): AsyncGenerator<{ digest: Digest; path: string }> {
  for (const algorithm of algorithms) {
    const area = join(layout.pushedBytes, algorithm)
    for await (const { name: shard } of entriesOf(area)) {
      for await (const { name } of entriesOf(join(area, shard))) {
        const digest = `${algorithm}:${name}`
        if (isDigest(digest)) yield { digest, path: join(area, shard, name) }
      }
    }
  }
}
