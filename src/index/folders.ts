/** What lies in the folders of the store's records, read as it is needed: none of it is ever in memory whole. */
import type { Dirent } from 'node:fs'
import { opendir } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { type Algorithm, type Digest, isDigest } from '../oci/digest.ts'
import { isRepositoryName } from '../oci/name.ts'
import { isNoFolder, type RecordNames } from '../store/files/names.ts'
import { type Layout, localRegistry, type RepositoryKey } from '../store/layout.ts'

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

/** Where records lie, and how their folders are read. */
export interface Place {
  readonly layout: Layout
  readonly names: RecordNames
}

/** Names of a folder of records that are waited for together. */
const namesAtOnce = 256

/** Whether the repository has any record of its own. */
export async function holdsAny({ layout, names }: Place, key: RepositoryKey): Promise<boolean> {
  for (const folder of [layout.tags(key), layout.manifests(key), layout.blobs(key)]) {
    if (await hasEntries(names, folder)) return true
  }
  return false
}

export async function hasEntries(names: RecordNames, folder: string): Promise<boolean> {
  for await (const _ of names.in(folder, 1)) return true
  return false
}

/** Every repository that has a folder for records, whether or not anything is in it. */
export async function* repositoriesOf(place: Place): AsyncGenerator<RepositoryKey> {
  for await (const { name } of entriesOf(place.layout.names))
    if (name !== localRegistry) yield* repositoriesIn(place, name)
  yield* localRepositories(place)
}

export function repositoriesIn(place: Place, registry: string): AsyncGenerator<RepositoryKey> {
  return repositoriesBelow(place, registry, join(place.layout.names, registry))
}

export function localRepositories(place: Place): AsyncGenerator<RepositoryKey> {
  return repositoriesIn(place, localRegistry)
}

/** Those of one registry, in a folder of its records. */
async function* repositoriesBelow(
  place: Place,
  registry: string,
  folder: string,
): AsyncGenerator<RepositoryKey> {
  let hasRecords = false
  for await (const names of place.names.in(folder, namesAtOnce)) {
    const below = names.filter(name => !name.startsWith('_'))
    hasRecords ||= below.length < names.length
    for (const name of below) yield* repositoriesBelow(place, registry, join(folder, name))
  }
  const repository = relative(join(place.layout.names, registry), folder).replaceAll(sep, '/')
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
