/** A cap on the bytes a second of one upstream's blobs, shared by all of them. */
import { pipeline, type Readable, Transform } from 'node:stream'
import type { Clock } from '../../runtime/clock.ts'

/** What may pass at once after a pause, in time: enough for chunks, too little to be a burst. */
const slackMs = 50

export class Bandwidth {
  readonly #bytesPerMs: number
  readonly #clock: Clock
  /** When the bytes let through so far will have taken their time. */
  #paidUntil = Number.NEGATIVE_INFINITY

  constructor(bytesPerSecond: number, clock: Clock) {
    this.#bytesPerMs = bytesPerSecond / 1_000
    this.#clock = clock
  }

  /** Resolves when these bytes may pass, in the order of asking. */
  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    const now = this.#clock.monotonic()
    this.#paidUntil = Math.max(this.#paidUntil, now - slackMs) + bytes / this.#bytesPerMs
    if (this.#paidUntil > now) await this.#clock.sleep(this.#paidUntil - now, signal)
  }

  /** The body at the pace of the cap; destroying either ends both. */
  pace(body: Readable): Readable {
    const left = new AbortController()
    const paced = new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        this.take(chunk.length, left.signal).then(
          () => done(null, chunk),
          (error: Error) => done(error),
        )
      },
      destroy: (error, done) => {
        left.abort()
        done(error)
      },
    })
    pipeline(body, paced, () => {}) // its error is the paced stream's own
    return paced
  }
}
