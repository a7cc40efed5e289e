/** Records of what upstreams gave: those that are none go, and those whose bytes have been gone for long. */
import { stat } from 'node:fs/promises'
import type { Tag } from '../oci/name.ts'
import { ifThere } from '../store/files/system-error.ts'
import { type Kept, keptIn, type Place, titleOf } from './kept.ts'
import type { Run } from './run.ts'

const dayMs = 86_400_000
/** A cached tag outlives an upstream for so long, and longer than that nothing is asked for without being used. */
const defaultOrphansAfterMs = 7 * dayMs

/** Whoever pulls what was just deleted asks upstream once more than needed. */
export async function scrubCachedRecord(run: Run, place: Place): Promise<void> {
  const { key, path } = place
  const before = await ifThere(stat(path))
  if (!before?.isFile()) return
  const doomed = await condemned(run, place)
  if (doomed === undefined) return
  const now = await ifThere(stat(path))
  if (now?.ino !== before.ino || now.mtimeMs !== before.mtimeMs) return // written again
  if ((await condemned(run, place)) === undefined) return
  if (!run.dryRun) await remove(run, place, doomed.kept)
  run.report.records += 1
  const { reason } = doomed
  run.told({
    kind: 'record',
    repository: `${key.registry}/${key.repository}`,
    name: titleOf(place),
    reason,
  })
}

interface Condemned {
  /** Undefined for what is no record. */
  readonly kept: Kept | undefined
  readonly reason: string
}

async function condemned(run: Run, place: Place): Promise<Condemned | undefined> {
  const { store, clock, orphansAfterMs = defaultOrphansAfterMs } = run
  const found = await store.records.read(place.path)
  const kept = found && keptIn(place, found.record)
  if (!kept) return { kept, reason: 'it is no record' }
  if (place.kind === 'referrer' || (await hasBytes(run, kept))) return undefined
  const written = (await ifThere(stat(place.path)))?.mtimeMs
  const usedAt = Math.max(written ?? clock.now(), kept.at, await checkedAt(run, place))
  if (clock.now() - usedAt < orphansAfterMs) return undefined
  return { kept, reason: 'what it names has long been gone' }
}

/** True also while no cached bytes are here at all: on a disk that is not there they are not lost. */
async function hasBytes({ store: { layout, shared } }: Run, { digest }: Kept): Promise<boolean> {
  for (const path of [layout.cached(digest), layout.pushed(digest)])
    if (await ifThere(stat(path))) return true
  if ((await shared?.bytes.cachedSize(digest)) !== undefined) return true
  return (await ifThere(stat(layout.cachedBytes))) === undefined
}

/** That upstream confirmed a tag only the index knows. */
async function checkedAt({ catalog }: Run, { key, kind, name }: Place): Promise<number> {
  if (kind !== 'tag') return 0
  const known = await catalog.index.tag(key, name as Tag)
  return known.answer === 'present' ? known.value.checkedAt : 0
}

async function remove({ store, catalog }: Run, { key, kind, name, path }: Place, kept: Kept | undefined) {
  if (!kept) return store.records.remove(path)
  if (kind === 'tag') return catalog.dropTag(key, name as Tag)
  return kind === 'manifest' ? catalog.dropManifest(key, kept.digest) : catalog.dropBlob(key, kept.digest)
}
