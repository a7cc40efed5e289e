/** Where damaged pushed bytes wait for a person: nobody else has them. */
import { entriesOf } from '../index/folders.ts'
import { type Digest, fromDashed } from '../oci/digest.ts'
import type { Run } from './run.ts'

/** Who claims the bytes is about to write a record: that does not take long. */
const tries = 5
const pauseMs = 1_000
/** The log names so many that hold it. */
const maxNamed = 10

/** Unless somebody has just pushed them anew. They are healed by a new push, or by a cached copy at once. */
export async function quarantine(run: Run, digest: Digest, inode: number): Promise<void> {
  const { store, catalog, log, report, told, dryRun } = run
  if (!dryRun && !(await setAside(run, digest, inode))) return
  report.quarantined += 1
  const isHealed = !dryRun && (await store.pushed.pin(digest))
  if (!dryRun) run.quarantined?.(digest)
  const holders = await catalog.index.holdersOf(digest, maxNamed)
  const repositories = holders.map(({ repository }) => repository)
  const reason = isHealed
    ? 'it is damaged and in quarantine; a cached copy has taken its place'
    : 'it is damaged: push it again'
  log.error({ digest, repositories, dryRun, isHealed }, 'a pushed file is damaged')
  told({ kind: 'pushed', name: digest, reason })
}

async function setAside({ store, clock, signal }: Run, digest: Digest, inode: number): Promise<boolean> {
  for (let left = tries; left > 0; left -= 1) {
    const isIt = (found: number) => found === inode
    const moved = await store.pushed.setAside(digest, store.layout.quarantined(digest), isIt)
    if (moved !== undefined) return moved
    await clock.sleep(pauseMs, signal)
  }
  throw new Error(`${digest} is damaged and could not be put away: somebody is pushing or mounting it`)
}

/** What lies there, from this scrub and earlier ones, for as long as a person leaves it there. */
export async function tellQuarantine({ store, told, signal }: Run): Promise<void> {
  for await (const { name } of entriesOf(store.layout.quarantine)) {
    signal.throwIfAborted()
    const digest = fromDashed(name)
    if (!digest) continue
    const isHere = (await store.pushed.size(digest)) !== undefined
    const reason = isHere ? 'it is here again: delete this copy' : 'push it again, then delete this copy'
    told({ kind: 'quarantine', name, reason })
  }
}
