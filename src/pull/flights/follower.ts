/** One reader's way along a flight: never beyond what may be shown, and alone with upstream when the disk gives out. */
import type { Bytes, SharedBytes } from '../../stream/bytes.ts'
import type { Lease } from '../../stream/recent.ts'
import type { Semaphore } from '../../stream/semaphore.ts'
import { Alone, heldBackBytes } from './alone.ts'
import type { Flight } from './flight.ts'
import type { Source } from './source.ts'
import { StoreFailure } from './store-failure.ts'

export class Follower implements Bytes {
  readonly #flight: Flight
  readonly #source: Source | undefined
  readonly #lone: Semaphore
  /** A closed range of an unfinished blob is served as the bytes come. */
  readonly #unverified: boolean
  readonly #leaving = new AbortController()
  readonly #left: Promise<void>
  #alone: Alone | undefined
  /** Of the last read, and of the one before it, whose bytes may still be on their way to the client. */
  #last: Lease | undefined
  #before: Lease | undefined

  /**
   * @param source undefined: it reads for another replica, and goes no further than the flight does
   * @param lone bounds how many readers go on without the flight at once
   */
  constructor(
    flight: Flight,
    source: Source | undefined,
    { unverified, lone }: { unverified: boolean; lone: Semaphore },
  ) {
    this.#flight = flight
    this.#source = source
    this.#unverified = unverified
    this.#lone = lone
    this.#left = new Promise(resolve =>
      this.#leaving.signal.addEventListener('abort', () => resolve(), { once: true }),
    )
    flight.enter(source)
  }

  /**
   * Bytes of the whole blob as soon as upstream says them, and for a small or unmeasured blob only when all of it is
   * verified: a failure before that can still be an honest status. Undefined: too long to wait for its end.
   */
  async size(): Promise<number | undefined> {
    const flight = this.#flight
    await this.#until(() => flight.sized)
    const { size = 0 } = flight
    if (size <= heldBackBytes) {
      const enough = flight.size === undefined ? heldBackBytes : Number.POSITIVE_INFINITY
      await this.#until(() => flight.verified || flight.watermark > enough)
    }
    return (this.#alone ?? flight).size
  }

  async read(target: Buffer, position: number): Promise<readonly Buffer[]> {
    await this.#untilShown(position)
    if (this.#alone) return this.#alone.read(target, position)
    const count = Math.min(target.length, this.#visible() - position)
    const { file } = this.#flight
    if (count <= 0 || !file) return []
    const recent = this.#flight.recent(position, count)
    this.#before?.release()
    this.#before = this.#last
    this.#last = recent
    return recent.chunks.length > 0 ? recent.chunks : file.readFrom(position, target.subarray(0, count))
  }

  /** Another replica fetches it, or has it. */
  get isBorrowed(): boolean {
    return this.#flight.isBorrowed
  }

  get shared(): SharedBytes | undefined {
    const { file } = this.#flight
    if (!file || this.#alone) return undefined
    return { path: file.path, until: position => this.#shownUntil(position) }
  }

  close(): void {
    if (this.#leaving.signal.aborted) return
    this.#leaving.abort(new Error('the reader has left'))
    this.#alone?.close()
    this.#flight.leave()
  }

  async #shownUntil(position: number): Promise<number | undefined> {
    await this.#untilShown(position)
    return this.#alone ? undefined : this.#visible()
  }

  #untilShown(position: number): Promise<void> {
    return this.#until(() => this.#visible() > position || this.#ended(position))
  }

  /** Bytes that may be shown. */
  #visible(): number {
    const { verified, watermark, size } = this.#flight
    if (verified || this.#unverified) return watermark
    return Math.min(watermark, Math.max(0, (size ?? watermark) - heldBackBytes))
  }

  #ended(position: number): boolean {
    return this.#flight.verified && position >= this.#flight.watermark
  }

  /** Waits for the condition; or goes on alone when the disk failed; or rejects with why there is nothing to wait for. */
  async #until(condition: () => boolean): Promise<void> {
    const flight = this.#flight
    while (!this.#alone && !condition()) {
      const refusal = this.#source && flight.refusal(this.#source.scope)
      if (refusal !== undefined) throw refusal
      this.#leaving.signal.throwIfAborted()
      if (flight.failure instanceof StoreFailure && this.#source) await this.#goAlone(this.#source)
      else if (flight.failure) throw flight.failure
      else await Promise.race([flight.changed.next(), this.#left])
    }
  }

  async #goAlone(source: Source): Promise<void> {
    const { digest, size, file, watermark } = this.#flight
    const { signal } = this.#leaving
    this.#alone = await Alone.open({ digest, size, source, file, watermark }, this.#lone, signal)
    if (signal.aborted) this.#alone.close()
  }
}
