/** Who goes to make room, and how: the least of those that need not stay, a few at a time. docs/adr/0008 says why them. */
import { setImmediate } from 'node:timers/promises'
import type { Logger } from '../../observe/log.ts'
import type { Metrics } from '../../observe/metrics.ts'
import type { Quiet } from '../../observe/quiet.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Clock } from '../../runtime/clock.ts'
import { arrived, lastRank, victims } from './policy.ts'
import { Sparing } from './sparing.ts'
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
  /** Nothing more goes from then on. */
  readonly stopping: AbortSignal
}

export type Reason = 'size' | 'upstream-size' | 'disk' | 'unused' | 'asked'

export interface Evicted {
  readonly blobs: number
  readonly bytes: number
}

/** So that neither the threads nor a turn of the loop are taken up by deletes. */
const batchBlobs = 3

/** One call after the other. */
export class Evictor {
  readonly #deps: EvictorDeps
  readonly #leaving = new Map<Digest, Promise<unknown>>()
  /** What was not to be had, by owner: looking through all that stays takes long. */
  readonly #tooMuch: Sparing<string | undefined>
  readonly #expired: Sparing<string>

  constructor(deps: EvictorDeps) {
    this.#deps = deps
    this.#tooMuch = new Sparing(deps.clock)
    this.#expired = new Sparing(deps.clock)
  }

  /** Resolves when the blob is gone; undefined when it is not on its way out. Who brings it back waits for that. */
  leaving(digest: Digest): Promise<unknown> | undefined {
    return this.#leaving.get(digest)?.catch(() => {}) // its own caller hears of it
  }

  /** So many bytes, or as many as may go. @param owner of whose alone */
  async evict(bytes: number, reason: Reason, owner?: string): Promise<Evicted> {
    const evicted = { blobs: 0, bytes: 0 }
    if (bytes <= 0) return evicted
    await this.#deps.pinsKnown()
    if (owner === undefined) evicted.bytes += await this.#deps.leftOvers.reclaim(bytes)
    for await (const rows of this.#going(bytes - evicted.bytes, owner)) {
      const gone = await this.#removeAll(rows, reason)
      evicted.blobs += gone.blobs
      evicted.bytes += gone.bytes
    }
    return evicted
  }

  /** Whether so many bytes may go. @param owner of whose alone */
  async canEvict(bytes: number, owner?: string): Promise<boolean> {
    let left = owner === undefined ? bytes - this.#deps.leftOvers.bytes : bytes
    if (left <= 0) return true
    await this.#deps.pinsKnown()
    for await (const rows of this.#going(left, owner)) for (const { sizeBytes } of rows) left -= sizeBytes
    return left <= 0
  }

  /** What was used last before that moment. */
  async expire(owner: string, before: number): Promise<void> {
    const { table, clock, pinsKnown, tellUses, stays } = this.#deps
    tellUses()
    if (this.#expired.has(owner)) return
    await pinsKnown()
    const since = clock.monotonic()
    for (const rows of table.ranked({ owner, to: lastRank(before) })) {
      const unused = rows.filter(({ digest, usedAt }) => usedAt < before && !stays(digest))
      await this.#removeAll(unused, 'unused')
      if (await this.#isStopping()) return
    }
    this.#expired.was(owner, since)
  }

  /** A clock that was ahead leaves ranks that nothing else reaches: they would keep their blobs for ever. */
  async mendRanks(): Promise<void> {
    const { table, clock } = this.#deps
    const now = clock.now()
    for (const rows of table.ranked({ from: lastRank(now) + 1 })) {
      table.atOnce(() => {
        for (const row of rows) table.touch({ ...row, ...arrived(row.sizeBytes, now) })
      })
      if (await this.#isStopping()) return
    }
  }

  /** Who goes for so many bytes, page by page of all that are cached: no turn of the loop takes longer than one page. */
  async *#going(bytes: number, owner: string | undefined): AsyncGenerator<readonly UsageRow[]> {
    const { table, clock, tellUses } = this.#deps
    if (bytes <= 0 || this.#tooMuch.has(owner, bytes)) return
    tellUses()
    const [now, since] = [clock.now(), clock.monotonic()]
    let left = bytes
    for (const rows of table.ranked({ owner, to: lastRank(now) })) {
      const staying: UsageRow[] = []
      const going = [...victims(rows, left, row => this.#stays(row) && staying.push(row) > 0)]
      this.#putLast(staying, now)
      for (const { sizeBytes } of going) left -= sizeBytes
      yield going
      if (left <= 0 || (await this.#isStopping())) return
    }
    this.#tooMuch.was(owner, since, bytes)
  }

  /** Not to be met again by the next who needs room. */
  #putLast(rows: readonly UsageRow[], now: number): void {
    const { table } = this.#deps
    const met = rows.filter(({ usedAt }) => usedAt !== now)
    if (met.length > 0)
      table.atOnce(() => {
        for (const row of met) table.touch({ ...row, usedAt: now })
      })
  }

  #stays({ digest }: UsageRow): boolean {
    return this.#leaving.has(digest) || this.#deps.stays(digest)
  }

  /** After everybody else had a turn. */
  async #isStopping(): Promise<boolean> {
    await setImmediate()
    return this.#deps.stopping.aborted
  }

  async #removeAll(rows: readonly UsageRow[], reason: Reason): Promise<Evicted> {
    const evicted = { blobs: 0, bytes: 0 }
    for (let at = 0; at < rows.length && !this.#deps.stopping.aborted; at += batchBlobs) {
      // Some may have been asked for since.
      const batch = rows.slice(at, at + batchBlobs).filter(row => !this.#stays(row))
      for (const { sizeBytes } of await this.#removeBatch(batch, reason)) {
        evicted.blobs += 1
        evicted.bytes += sizeBytes
      }
    }
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
