/** The records of all repositories, one by one. */
import { rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { entriesOf, holdsAny, repositoriesOf } from '../index/folders.ts'
import { diskNames } from '../store/files/names.ts'
import { isCode } from '../store/files/system-error.ts'
import { localRegistry, type RepositoryKey } from '../store/layout.ts'
import { scrubCachedRecord } from './cached-records.ts'
import type { Place } from './kept.ts'
import { scrubLocalRecord } from './local-records.ts'
import type { Run } from './run.ts'

/** A small file is read, and another one looked at. */
const costBytes = 16 * 1024

export async function scrubRecords(run: Run): Promise<void> {
  for await (const key of repositoriesOf({ layout: run.store.layout, names: diskNames })) {
    const isLocal = key.registry === localRegistry
    const scrubOne = isLocal ? scrubLocalRecord : scrubCachedRecord
    for await (const place of placesOf(run, key)) await scrubOrTell(run, place, scrubOne)
    if (!isLocal && !run.dryRun) await leave(run, key)
  }
}

async function scrubOrTell(
  run: Run,
  place: Place,
  scrubOne: (run: Run, place: Place) => Promise<void>,
): Promise<void> {
  await run.pace.take(costBytes, run.signal)
  try {
    await scrubOne(run, place)
  } catch (err) {
    run.signal.throwIfAborted()
    run.report.unchecked += 1
    run.log.error({ path: place.path, err }, 'a record could not be checked, or not be deleted')
  }
}

async function* placesOf({ store: { layout } }: Run, key: RepositoryKey): AsyncGenerator<Place> {
  yield* placesIn(layout.tags(key), key, 'tag')
  yield* placesIn(layout.manifests(key), key, 'manifest')
  yield* placesIn(layout.blobs(key), key, 'blob')
  const subjects = join(layout.repository(key), '_referrers')
  for await (const { name } of entriesOf(subjects)) yield* placesIn(join(subjects, name), key, 'referrer')
}

async function* placesIn(folder: string, key: RepositoryKey, kind: Place['kind']): AsyncGenerator<Place> {
  for await (const { name } of entriesOf(folder)) yield { key, kind, name, path: join(folder, name) }
}

/** Of a repository of an upstream of which nothing is here any more nothing stays. */
async function leave({ store: { layout }, catalog: { index } }: Run, key: RepositoryKey): Promise<void> {
  for (const folder of [layout.tags(key), layout.manifests(key), layout.blobs(key)]) await removed(folder)
  const registry = join(layout.names, key.registry)
  let folder = layout.repository(key)
  while (folder !== registry && (await removed(folder))) folder = dirname(folder)
  if (await holdsAny({ layout, names: diskNames }, key)) return
  await index.dropRepository(key)
  if (await holdsAny({ layout, names: diskNames }, key)) await index.putRepository(key) // pulled again meanwhile
}

/** Whether the folder is gone: it was empty. */
async function removed(folder: string): Promise<boolean> {
  try {
    await rmdir(folder)
    return true
  } catch (error) {
    return isCode(error, 'ENOENT')
  }
}
