/** Who goes to make room, and how: the least of those that need not stay, a few at a time. docs/adr/0008 says why them. */
import type { Logger } from '../../observe/log.ts'
import type { Metrics } from '../../observe/metrics.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Quiet } from '../quiet.ts'
import { arrived, lastRank, victims } from './policy.ts'
import type { UsageRow, UsageTable } from './usage-table.ts'

/** Unfinished bytes that no flight goes on with. */
export interface LeftOvers {
  readonly bytes: number
  /** Deletes the oldest until so much is gone, or all; resolves with how much went. */
  reclaim(bytes: number): Promise<number>
}

export interface EvictorDeps {
  readonly table: UsageTable
  readonly leftOvers: LeftOvers
  /** Whether the blob has to stay: it is pinned, or being read. */
  readonly stays: (digest: Digest) => boolean
  /** Resolves when it is known what is pinned: nothing goes before. */
  readonly pinsKnown: () => Promise<void>
  /** Tells of the uses that were not told of yet. */
  readonly tellUses: () => void
  /** Deletes the blob. Rejects with the system's error. */
  readonly remove: (digest: Digest) => Promise<void>
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly quiet: Quiet
}

export type Reason = 'size' | 'upstream-size' | 'disk' | 'unused' | 'asked'

export interface Evicted {
  readonly blobs: number
  readonly bytes: number
}

/** So that neither the threads nor a turn of the loop are taken up by deletes. */
const batchBlobs = 8

/** One call after the other. */
export class Evictor {
  readonly #deps: EvictorDeps
  readonly #leaving = new Map<Digest, Promise<unknown>>()

  constructor(deps: EvictorDeps) {
    this.#deps = deps
  }

  /** Resolves when the blob is not on its way out: who brings it back has its row then. */
  async settled(digest: Digest): Promise<void> {
    await this.#leaving.get(digest)?.catch(() => {}) // its own caller hears of it
  }

  /** So many bytes, or as many as may go. @param owner of whose alone */
  async evict(bytes: number, reason: Reason, owner?: string): Promise<Evicted> {
    if (bytes <= 0) return { blobs: 0, bytes: 0 }
    const { table, leftOvers, clock, pinsKnown, tellUses } = this.#deps
    await pinsKnown()
    tellUses()
    const reclaimed = owner === undefined ? await leftOvers.reclaim(bytes) : 0
    const now = clock.now()
    const stays = (row: UsageRow) => {
      if (!this.#deps.stays(row.digest)) return false
      table.touch({ ...row, usedAt: now }) // not to be met again by the next who needs room
      return true
    }
    const rows = victims(table.ranked({ owner, to: lastRank(now) }), bytes - reclaimed, stays)
    const evicted = await this.#removeAll(rows, reason)
    return { ...evicted, bytes: evicted.bytes + reclaimed }
  }

  /** What was used last before that moment. */
  async expire(owner: string, before: number): Promise<void> {
    const { table, pinsKnown, tellUses, stays } = this.#deps
    await pinsKnown()
    tellUses()
    const isUnused = ({ digest, usedAt }: UsageRow) => usedAt < before && !stays(digest)
    await this.#removeAll(table.ranked({ owner, to: lastRank(before) }).filter(isUnused), 'unused')
  }

  /** A clock that was ahead leaves ranks that nothing else reaches: they would keep their blobs for ever. */
  mendRanks(): void {
    const { table, clock } = this.#deps
    const now = clock.now()
    const ahead = [...table.ranked({ from: lastRank(now) + 1 })]
    table.atOnce(() => {
      for (const row of ahead) table.touch({ ...row, ...arrived(row.sizeBytes, now) })
    })
  }

  async #removeAll(rows: Iterable<UsageRow>, reason: Reason): Promise<Evicted> {
    const evicted = { blobs: 0, bytes: 0 }
    let batch: UsageRow[] = []
    const remove = async () => {
      for (const { sizeBytes } of await this.#removeBatch(batch, reason)) {
        evicted.blobs += 1
        evicted.bytes += sizeBytes
      }
      batch = []
    }
    for (const row of rows) {
      batch.push(row)
      if (batch.length === batchBlobs) await remove()
    }
    await remove()
    return evicted
  }

  #removeBatch(rows: readonly UsageRow[], reason: Reason): Promise<readonly UsageRow[]> {
    const removing = this.#removeThese(rows, reason).finally(() => {
      for (const { digest } of rows) this.#leaving.delete(digest)
    })
    for (const { digest } of rows) this.#leaving.set(digest, removing)
    return removing
  }

  /** Those that went. */
  async #removeThese(rows: readonly UsageRow[], reason: Reason): Promise<readonly UsageRow[]> {
    const { table, metrics } = this.#deps
    const removed = await Promise.all(rows.map(row => this.#remove(row)))
    const gone = rows.filter((_, at) => removed[at])
    table.atOnce(() => {
      for (const { digest } of gone) table.remove(digest)
    })
    for (const { owner, sizeBytes } of gone) {
      metrics.evictions.inc({ upstream: owner, reason })
      metrics.evictedBytes.inc({ upstream: owner, reason }, sizeBytes)
    }
    return gone
  }

  async #remove({ digest }: UsageRow): Promise<boolean> {
    const { remove, quiet, log } = this.#deps
    try {
      await remove(digest)
      return true
    } catch (err) {
      quiet.say('delete', () => log.error({ digest, err }, 'what is cached cannot be deleted to make room'))
      return false
    }
  }
}
