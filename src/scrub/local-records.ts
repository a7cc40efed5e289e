/** Records of local repositories: nobody else has them, so that what is wrong with one is only told. */

import { stat } from 'node:fs/promises'
import { ifThere } from '../store/files/system-error.ts'
import { type Kept, keptIn, type Place, titleOf } from './kept.ts'
import type { Run } from './run.ts'

export async function scrubLocalRecord(run: Run, place: Place): Promise<void> {
  const { report, log, told } = run
  const { path } = place
  const { repository } = place.key
  const wrong = (await fault(run, place)) && (await fault(run, place)) // looked at again: it may have been on its way
  if (!wrong) return
  report[wrong.counts] += 1
  log.error(
    { repository, path, reason: wrong.reason },
    'a record of a local repository is not as it should be',
  )
  const found = wrong.counts === 'malformed' ? path : titleOf(place)
  told({ kind: 'record', repository, name: found, reason: wrong.reason })
}

interface Fault {
  readonly counts: 'malformed' | 'missing'
  readonly reason: string
}

async function fault(run: Run, place: Place): Promise<Fault | undefined> {
  const { path, kind, key } = place
  const { layout, records, pushed } = run.store
  const found = await records.read(path)
  if (!found) return (await ifThere(stat(path))) && { counts: 'malformed', reason: 'it is no record' }
  const kept = keptIn(place, found.record)
  if (!kept) return { counts: 'malformed', reason: `it is no ${kind}'s record` }
  if (kind === 'tag') {
    const manifest = await ifThere(stat(layout.manifest(key, kept.digest)))
    return manifest
      ? undefined
      : { counts: 'missing', reason: `it points at ${kept.digest}, which is not here` }
  }
  return faultOf(await pushed.size(kept.digest), kept)
}

function faultOf(size: number | undefined, kept: Kept): Fault | undefined {
  if (size === undefined) return { counts: 'missing', reason: 'its bytes are not here: push it again' }
  if (kept.size === undefined || kept.size === size) return undefined
  const reason = `it says ${kept.size} bytes, and there are ${size}: push it again`
  return { counts: 'missing', reason }
}
