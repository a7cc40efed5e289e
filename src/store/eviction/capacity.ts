/**
 * How much may be cached: every byte is reserved before it is written, and what goes to make room for it has gone by
 * then. docs/adr/0008 says who goes.
 */
import type { Digest } from '../../oci/digest.ts'
import { Semaphore } from '../../stream/semaphore.ts'
import { Quiet } from '../quiet.ts'
import { type Evicted, Evictor, type EvictorDeps } from './evictor.ts'
import { arrived, used } from './policy.ts'
import { Reservation } from './reservation.ts'
import type { Total } from './usage-table.ts'

export interface CapacityLimits {
  /** Of all cached bytes, unfinished ones included; `Infinity`: as many as the disk takes. */
  readonly maxBytes: number
  /** Of those first fetched from one registry. */
  readonly maxBytesOf: (owner: string) => number
  /** Bytes of the disk that stay free, of so many. */
  readonly minFree: (diskBytes: number) => number
  /** How long what nobody asks for is kept. */
  readonly unusedMsOf: (owner: string) => number
}

/** Bytes. */
export interface Space {
  readonly total: number
  readonly free: number
}

export interface CapacityDeps extends Omit<EvictorDeps, 'quiet'> {
  readonly limits: () => CapacityLimits
  readonly space: () => Promise<Space>
}

/** Ahead of those who need it, so that they seldom wait: a share of what may be cached, and no more than that. */
const ahead = { share: 0.01, mostBytes: 2 ** 28 }
/** Deleted bytes need not be free at once, or at all: others may hold the file under another name. */
const maxRounds = 4

export class Capacity {
  readonly #deps: CapacityDeps
  readonly #reservations = new Set<Reservation>()
  readonly #turn = new Semaphore(1)
  readonly #arriving = new Map<Digest, number>()
  readonly #evictor: Evictor
  readonly #quiet: Quiet

  constructor(deps: CapacityDeps) {
    this.#deps = deps
    this.#quiet = new Quiet(deps.clock)
    this.#evictor = new Evictor({
      ...deps,
      quiet: this.#quiet,
      stays: digest => this.#arriving.has(digest) || deps.stays(digest),
    })
  }

  /** By registry. */
  get totals(): ReadonlyMap<string, Total> {
    return this.#deps.table.totals()
  }

  /** On disk under their digests; bytes. */
  get cachedBytes(): number {
    return [...this.totals.values()].reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** Undefined when there is no room, and none can be made. */
  async reserve(owner: string, bytes: number): Promise<Reservation | undefined> {
    const reservation = new Reservation(owner, {
      more: () => this.#hasRoom(reservation.owner),
      refused: () => this.#tellRefused(reservation.owner),
      ended: () => this.#reservations.delete(reservation),
    })
    this.#reservations.add(reservation)
    try {
      if (await reservation.cover(bytes)) return reservation
    } catch (err) {
      this.#quiet.say('room', () =>
        this.#deps.log.error({ err }, 'no room can be made: what is fetched is given without being kept'),
      )
    }
    reservation.release()
    return undefined
  }

  /** The file is about to get its name: from here on it counts as cached and no longer as reserved. */
  async arrive<T>(
    digest: Digest,
    reservation: Reservation,
    sizeBytes: number,
    naming: () => Promise<T>,
  ): Promise<T> {
    await this.#evictor.settled(digest)
    const { table, clock } = this.#deps
    const before = table.find(digest)
    this.#arriving.set(digest, (this.#arriving.get(digest) ?? 0) + 1)
    try {
      const usage = before ?? { digest, owner: reservation.owner, ...arrived(sizeBytes, clock.now()) }
      table.put({ ...usage, sizeBytes })
      reservation.release()
      return await naming()
    } catch (error) {
      if (!before) table.remove(digest)
      throw error
    } finally {
      const left = (this.#arriving.get(digest) ?? 0) - 1
      if (left > 0) this.#arriving.set(digest, left)
      else this.#arriving.delete(digest)
    }
  }

  /** The file has gone, for another reason than ours. */
  gone(digest: Digest): void {
    if (!this.#arriving.has(digest)) this.#deps.table.remove(digest)
  }

  /** Found on disk without a row. */
  found(digest: Digest, sizeBytes: number, modifiedAt: number): void {
    const { table } = this.#deps
    if (!table.find(digest)) table.put({ digest, owner: '', ...arrived(sizeBytes, modifiedAt) })
  }

  /** A disk that does not take it down costs no more than that. */
  used(digests: Iterable<Digest>): void {
    const { table, clock, log } = this.#deps
    const now = clock.now()
    try {
      table.atOnce(() => {
        for (const digest of digests) {
          const row = table.find(digest)
          const usage = row && used(row, now)
          if (usage) table.touch({ ...row, ...usage })
        }
      })
    } catch (err) {
      this.#quiet.say('uses', () => log.error({ err }, 'when cached content was used cannot be written down'))
    }
  }

  /** Room ahead of need, and what nobody has asked for in too long a time. Never rejects: a disk that fails is told of. */
  async tidy(): Promise<void> {
    const release = await this.#turn.acquire()
    try {
      this.#evictor.mendRanks()
      for (const owner of this.totals.keys()) {
        await this.#expire(owner)
        await this.#evictor.evict(this.#overOf(owner), 'upstream-size', owner)
      }
      const { maxBytes } = this.#deps.limits()
      const margin = Math.min(maxBytes * ahead.share, ahead.mostBytes)
      await this.#evictor.evict(this.#over() + margin, 'size')
      await this.#freeDisk()
    } catch (err) {
      this.#quiet.say('tidy', () =>
        this.#deps.log.error({ err }, 'what is cached could not be brought below its limits'),
      )
    } finally {
      release()
    }
  }

  /** Makes so much room because somebody asks for it. */
  async evict(bytes: number): Promise<Evicted> {
    const release = await this.#turn.acquire()
    try {
      return await this.#evictor.evict(bytes, 'asked')
    } finally {
      release()
    }
  }

  async #expire(owner: string): Promise<void> {
    const { limits, clock } = this.#deps
    const unusedMs = limits().unusedMsOf(owner)
    if (unusedMs < Number.POSITIVE_INFINITY) await this.#evictor.expire(owner, clock.now() - unusedMs)
  }

  /** Whether what is reserved has room, once others have made it. */
  async #hasRoom(owner: string): Promise<boolean> {
    if (this.#isHopeless(owner)) return false
    if (this.#over() <= 0 && this.#overOf(owner) <= 0 && (await this.#lacking()) <= 0) return true
    const release = await this.#turn.acquire()
    try {
      return await this.#makeRoom(owner)
    } finally {
      release()
    }
  }

  async #makeRoom(owner: string): Promise<boolean> {
    for (let round = 0; round < maxRounds; round += 1) {
      if (this.#isHopeless(owner)) return false
      await this.#evictor.evict(this.#overOf(owner), 'upstream-size', owner)
      await this.#evictor.evict(this.#over(), 'size')
      await this.#freeDisk()
      if (this.#over() <= 0 && this.#overOf(owner) <= 0 && (await this.#lacking()) <= 0) return true
    }
    return false
  }

  /** With everything gone that is cached there would still be no room. */
  #isHopeless(owner: string): boolean {
    const { maxBytes, maxBytesOf } = this.#deps.limits()
    return this.#reserved() > maxBytes || this.#reserved(owner) > maxBytesOf(owner)
  }

  /** Bytes beyond what may be cached, were all that is reserved written. */
  #over(): number {
    const { limits, leftOvers } = this.#deps
    return this.cachedBytes + leftOvers.bytes + this.#reserved() - limits().maxBytes
  }

  #overOf(owner: string): number {
    const cached = this.totals.get(owner)?.bytes ?? 0
    return cached + this.#reserved(owner) - this.#deps.limits().maxBytesOf(owner)
  }

  #reserved(of?: string): number {
    let sum = 0
    for (const { owner, bytes } of this.#reservations) if (of === undefined || owner === of) sum += bytes
    return sum
  }

  /** Bytes that the disk lacks, were all that is reserved written. */
  async #lacking(): Promise<number> {
    const { total, free } = await this.#deps.space()
    let unwritten = 0
    for (const { bytes, written } of this.#reservations) unwritten += Math.max(0, bytes - written)
    return this.#deps.limits().minFree(total) + unwritten - free
  }

  /** What others have filled a disk with is not to cost all that is cached. */
  async #freeDisk(): Promise<void> {
    const lacking = await this.#lacking()
    if (lacking <= this.cachedBytes + this.#deps.leftOvers.bytes) await this.#evictor.evict(lacking, 'disk')
  }

  #tellRefused(owner: string): void {
    const { log } = this.#deps
    this.#quiet.say('refused', () =>
      log.warn(
        { upstream: owner, cachedBytes: this.cachedBytes },
        'no room to keep what is fetched, which is given without being kept: look at store.maxSize, store.minFree and the disk',
      ),
    )
  }
}
