/**
 * How much may be cached: every byte is reserved before it is written, and what goes to make room for it has gone by
 * then. docs/adr/0008 says who goes.
 */

import { Quiet } from '../../observe/quiet.ts'
import type { Digest } from '../../oci/digest.ts'
import { Ages } from '../../runtime/ages.ts'
import { Semaphore } from '../../stream/semaphore.ts'
import { Arrivals } from './arrivals.ts'
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
  /** Whether the blob's file is on disk. Rejects with the system's error. */
  readonly isThere: (digest: Digest) => Promise<boolean>
  readonly limits: () => CapacityLimits
  readonly space: () => Promise<Space>
}

/** Ahead of those who need it, so that they seldom wait: a share of what may be cached, and no more than that. */
const ahead = { share: 0.01, mostBytes: 2 ** 28 }
/** Deleted bytes need not be free at once, or at all: others may hold the file under another name. */
const maxRounds = 4
/** So far above a cap that was made smaller nobody waits until all of it has gone. */
const mostAwaited = 2 ** 30

export class Capacity {
  readonly #deps: CapacityDeps
  readonly #reservations = new Set<Reservation>()
  readonly #turn = new Semaphore(1)
  readonly #arrivals: Arrivals
  readonly #evictor: Evictor
  readonly #quiet: Quiet
  readonly #ages: Ages

  constructor(deps: CapacityDeps) {
    this.#deps = deps
    this.#quiet = new Quiet(deps.clock)
    this.#ages = new Ages(deps.clock)
    this.#evictor = new Evictor({
      ...deps,
      quiet: this.#quiet,
      stays: digest => this.#arrivals.has(digest) || deps.stays(digest),
    })
    this.#arrivals = new Arrivals({ ...deps, missing: digest => deps.table.remove(digest) })
  }

  /** By registry. */
  get totals(): ReadonlyMap<string, Total> {
    return this.#deps.table.totals()
  }

  /** On disk under their digests; bytes. */
  get cachedBytes(): number {
    return this.total.bytes
  }

  get total(): Total {
    const sum = { bytes: 0, blobs: 0 }
    for (const { bytes, blobs } of this.totals.values()) {
      sum.bytes += bytes
      sum.blobs += blobs
    }
    return sum
  }

  /** Undefined when there is no room, and none can be made. */
  async reserve(owner: string, bytes: number): Promise<Reservation | undefined> {
    const reservation = this.hold(owner)
    if (await reservation.cover(bytes)) return reservation
    reservation.release()
    return undefined
  }

  /** To take room with. @param written bytes that are on disk already, and count from here on */
  hold(owner: string, written = 0): Reservation {
    const reservation = new Reservation(owner, written, {
      grow: bytes => this.#grow(reservation, bytes),
      refused: () => this.#tellRefused(owner),
      ended: () => this.#reservations.delete(reservation),
    })
    this.#reservations.add(reservation)
    return reservation
  }

  /** The file is about to get its name: from here on it counts as cached and no longer as reserved. */
  async arrive<T>(
    digest: Digest,
    reservation: Reservation,
    sizeBytes: number,
    naming: () => Promise<T>,
  ): Promise<T> {
    const { table, clock } = this.#deps
    const evictor = this.#evictor
    for (let leaving = evictor.leaving(digest); leaving; leaving = evictor.leaving(digest)) await leaving
    return this.#arrivals.bring(digest, () => {
      const before = table.find(digest)
      const usage = before ?? { digest, owner: reservation.owner, ...arrived(sizeBytes, clock.now()) }
      table.put({ ...usage, sizeBytes })
      reservation.release()
      return naming()
    })
  }

  /** The file has gone, for another reason than ours. */
  gone(digest: Digest): void {
    this.#arrivals.gone(digest)
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
      this.#deps.tellUses()
      await this.#evictor.mendRanks()
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
    if (unusedMs === Number.POSITIVE_INFINITY || !this.#ages.isPast(Number.NEGATIVE_INFINITY, unusedMs))
      return
    await this.#evictor.expire(owner, clock.now() - unusedMs)
  }

  /** Those who wait for their turn count for nothing yet. */
  async #grow(reservation: Reservation, bytes: number): Promise<boolean> {
    const before = reservation.bytes
    try {
      if (this.#isHopeless(reservation, bytes)) return false
      reservation.bytes = bytes
      if (await this.#hasRoom(reservation)) return true
      reservation.bytes = before
      if (this.#over() > mostAwaited) return false
      const release = await this.#turn.acquire()
      try {
        if (await this.#makeRoom(reservation, bytes)) return true
      } finally {
        release()
      }
    } catch (err) {
      this.#quiet.say('room', () =>
        this.#deps.log.error({ err }, 'no room can be made: what is fetched is given without being kept'),
      )
    }
    reservation.bytes = before
    return false
  }

  /** Nothing goes if it would be for nothing. */
  async #makeRoom(reservation: Reservation, bytes: number): Promise<boolean> {
    const { owner } = reservation
    for (let round = 0; round < maxRounds; round += 1) {
      if (this.#isHopeless(reservation, bytes)) return false
      reservation.bytes = bytes
      if (await this.#hasRoom(reservation)) return true
      const evictor = this.#evictor
      if (!(await evictor.canEvict(this.#overOf(owner), owner))) return false
      if (!(await evictor.canEvict(Math.max(this.#over(), await this.#lacking())))) return false
      await evictor.evict(this.#overOf(owner), 'upstream-size', owner)
      await evictor.evict(this.#over(), 'size')
      await this.#freeDisk()
    }
    return this.#hasRoom(reservation)
  }

  /** With all that is reserved. */
  async #hasRoom({ owner }: Reservation): Promise<boolean> {
    return this.#over() <= 0 && this.#overOf(owner) <= 0 && (await this.#lacking()) <= 0
  }

  /** With everything gone that is cached there would still be no room. */
  #isHopeless({ owner, bytes: before }: Reservation, bytes: number): boolean {
    const { maxBytes, maxBytesOf } = this.#deps.limits()
    const more = bytes - before
    return this.#reserved() + more > maxBytes || this.#reserved(owner) + more > maxBytesOf(owner)
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
