/** The bytes of the store, one shard folder of the cached and of the pushed ones at a time. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { entriesOf } from '../index/folders.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { ifThere } from '../store/files/system-error.ts'
import { isFineOrUnknown } from './check.ts'
import { quarantine } from './quarantine.ts'
import type { Run } from './run.ts'

/** Resolves with whether there was anything. */
export async function scrubShard(run: Run, shard: string): Promise<boolean> {
  const { cachedBytes, pushedBytes } = run.store.layout
  /** They may be the same files under another name, which then need no second look. */
  const damaged = new Set<Digest>()
  let isEmpty = true
  for await (const digest of digestsIn(cachedBytes, shard)) {
    isEmpty = false
    if (!(await scrubCached(run, digest))) damaged.add(digest)
  }
  for await (const digest of digestsIn(pushedBytes, shard)) {
    isEmpty = false
    if (damaged.has(digest) || !(await isCachedToo(run, digest))) await scrubPushed(run, digest)
  }
  return !isEmpty
}

function scrubCached(run: Run, digest: Digest): Promise<boolean> {
  const { store, log, report, told, dryRun } = run
  const path = store.layout.cached(digest)
  const condemn = async (inode: number) => {
    if ((await ifThere(stat(path)))?.ino !== inode) return // fetched again meanwhile
    if (!dryRun) await store.drop(digest)
    report.dropped += 1
    log.warn({ digest, dryRun }, 'a cached file is damaged: the next pull fetches it again')
    told({ kind: 'cached', name: digest, reason: 'it is damaged; the next pull fetches it again' })
  }
  return isFineOrUnknown(run, { area: 'cached', digest, path, condemn })
}

function scrubPushed(run: Run, digest: Digest): Promise<boolean> {
  const path = run.store.layout.pushed(digest)
  const condemn = (inode: number) => quarantine(run, digest, inode)
  return isFineOrUnknown(run, { area: 'pushed', digest, path, condemn })
}

/** A hard link of the cached file, which was just found to be right. */
async function isCachedToo({ store: { layout } }: Run, digest: Digest): Promise<boolean> {
  const pushed = await ifThere(stat(layout.pushed(digest)))
  if (!pushed || pushed.nlink < 2) return false
  return (await ifThere(stat(layout.cached(digest))))?.ino === pushed.ino
}

async function* digestsIn(area: string, shard: string): AsyncGenerator<Digest> {
  const [algorithm, prefix = ''] = shard.split('/')
  for await (const { name } of entriesOf(join(area, shard))) {
    const digest = `${algorithm}:${name}`
    if (isDigest(digest) && name.startsWith(prefix)) yield digest
  }
}
