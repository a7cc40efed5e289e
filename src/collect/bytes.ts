/** Pushed bytes that no record of a local repository names. */
import { join } from 'node:path'
import type { Digest } from '../oci/digest.ts'
import type { PushedFile } from '../store/pushed.ts'
import { Marks } from './marks.ts'
import type { Run } from './run.ts'
import { countOf, eachLink } from './walk.ts'

/** So many candidates are in memory, and cost one more walk over the records. */
const candidatesAtOnce = 20_000

/**
 * Every link is marked: those that are found in one walk over the records' names, and those that are written from its
 * beginning on. What has no mark and is old enough is a candidate; a second walk strikes out those that have a link all
 * the same. The rest goes, each under its digest's claims and unless it was marked meanwhile.
 */
export async function collectBytes(run: Run): Promise<void> {
  const { store, holdings, signal, log } = run
  const { layout } = store
  const count = await countOf(store.pushed.digests(), signal)
  if (count === 0) return
  if (!(await store.names.isThere(layout.localNames))) {
    log.error(
      { folder: layout.localNames, files: count },
      'there are no records of what was pushed: its bytes are left alone',
    )
    return
  }
  const marks = new Marks(count)
  using _ = holdings.watch.begin((_key, digest) => marks.add(digest))
  await eachKeptLink(run, digest => marks.add(digest))
  const candidates = new Set<Digest>()
  for await (const digests of store.pushed.digests()) {
    for (const digest of digests) {
      signal.throwIfAborted()
      if (marks.has(digest)) continue
      const file = await store.pushed.look(digest)
      if (file && isOld(run, file)) candidates.add(digest)
    }
    if (candidates.size >= candidatesAtOnce) await removeAll(run, candidates, marks)
  }
  await removeAll(run, candidates, marks)
}

async function removeAll(run: Run, candidates: Set<Digest>, marks: Marks): Promise<void> {
  if (candidates.size > 0) await eachKeptLink(run, digest => candidates.delete(digest))
  for (const digest of candidates) {
    run.signal.throwIfAborted()
    await remove(run, digest, () => !marks.has(digest))
  }
  candidates.clear()
}

async function remove(run: Run, digest: Digest, isGarbage: () => boolean): Promise<void> {
  const { store, dryRun, report, told, metrics } = run
  const file = await store.pushed.look(digest)
  if (!file || !isOld(run, file)) return
  if (!(dryRun || (await store.pushed.remove(digest, isGarbage)))) return
  const bytes = file.isOnly ? file.size : 0
  report.files += 1
  report.bytes += bytes
  if (!dryRun) metrics.collectedBytes.inc(bytes)
  told({ kind: 'bytes', name: digest, size: bytes, reason: 'no repository holds it' })
}

/** In a dry run without those that would be gone by now. */
function eachKeptLink({ store, signal, doomed }: Run, keep: (digest: Digest) => void): Promise<void> {
  const found = (digest: Digest, folder: string, name: string) => {
    if (doomed.size === 0 || !doomed.has(join(folder, name))) keep(digest)
  }
  return eachLink(store, { signal, found })
}

/** Under its name for so long that who put it there has had time to write a record, also over a restart. */
function isOld({ graceMs, isPast }: Run, { changedAt }: PushedFile): boolean {
  return isPast(changedAt, graceMs())
}
