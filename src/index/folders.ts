/** What lies in the folders of the store's records, read as it is needed: none of it is ever in memory whole. */
import type { Dirent } from 'node:fs'
import { opendir } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { type Algorithm, type Digest, isDigest } from '../oci/digest.ts'
import { isRepositoryName } from '../oci/name.ts'
import { type Layout, localRegistry, type RepositoryKey } from '../store/layout.ts'
import { isCode } from '../store/system-error.ts'

const algorithms: readonly Algorithm[] = ['sha256', 'sha512']

/** Entries of a folder in no order; none when there is no such folder. */
export async function* entriesOf(folder: string): AsyncGenerator<Dirent> {
  try {
    yield* await opendir(folder, { bufferSize: 256 })
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'ENOTDIR')) throw error
  }
}

/** Names in a folder, some at a time. */
export async function* namesOf(folder: string, count: number): AsyncGenerator<readonly string[]> {
  let names: string[] = []
  for await (const { name } of entriesOf(folder)) {
    names.push(name)
    if (names.length < count) continue
    yield names
    names = []
  }
  if (names.length > 0) yield names
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
