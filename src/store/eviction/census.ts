/**
 * Every cached file gets its row, and every row that has no file loses it: after a stop that was none, or without a
 * table. Goes on beside everything else, folder by folder.
 */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Algorithm, type Digest, hexOf, isDigest } from '../../oci/digest.ts'
import { ifThere } from '../files/system-error.ts'
import { shards } from '../layout.ts'
import type { UsageTable } from './usage-table.ts'

export interface CensusDeps {
  /** `cached/` */
  readonly folder: string
  readonly table: UsageTable
  readonly found: (digest: Digest, sizeBytes: number, modifiedAt: number) => void
  /** To be believed only if nobody has just brought it. */
  readonly missing: (digest: Digest) => void
  readonly signal: AbortSignal
}

/** Files looked at in one go. */
const atOnce = 64

/** Rejects with the signal's reason, or an error of the disk. */
export async function takeCensus(deps: CensusDeps): Promise<void> {
  for (const shard of shards) {
    deps.signal.throwIfAborted()
    await countShard(deps, shard)
  }
}

async function countShard(deps: CensusDeps, shard: string): Promise<void> {
  const folder = join(deps.folder, shard)
  const [algorithm = '', prefix = ''] = shard.split('/')
  const names = (await ifThere(readdir(folder))) ?? []
  deps.signal.throwIfAborted()
  const there = new Set(names.map(name => `${algorithm}:${name}`).filter(isDigest))
  const rows = new Set(deps.table.shard(algorithm as Algorithm, prefix))
  const doubtful = [...there, ...rows].filter(digest => !(there.has(digest) && rows.has(digest)))
  for (let at = 0; at < doubtful.length; at += atOnce) {
    deps.signal.throwIfAborted()
    await Promise.all(doubtful.slice(at, at + atOnce).map(digest => settle(deps, digest, folder)))
  }
}

async function settle(deps: CensusDeps, digest: Digest, folder: string): Promise<void> {
  const { found, missing, signal } = deps
  const file = await ifThere(stat(join(folder, hexOf(digest))))
  signal.throwIfAborted()
  if (file?.isFile()) found(digest, file.size, file.mtimeMs)
  else if (!file) missing(digest)
}
