/** How long ago things were, as far as the clock can be believed: when somebody sets it, no time has passed. */
import type { Clock } from './clock.ts'

/** More than clocks are corrected by in their stride. */
const setByMs = 60_000

export class Ages {
  readonly #clock: Clock
  /** Of the wall clock over the one that never goes back. */
  #offset: number
  /** When the wall clock was found set, by the other one. */
  #setAt = Number.NEGATIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
    this.#offset = clock.now() - clock.monotonic()
  }

  /** Whether so much time has passed since that moment, and also since the clock was set. Both in milliseconds. */
  isPast(since: number, ms: number): boolean {
    const [now, monotonic] = [this.#clock.now(), this.#clock.monotonic()]
    const offset = now - monotonic
    if (Math.abs(offset - this.#offset) > setByMs) {
      this.#setAt = monotonic
      this.#offset = offset
    }
    return now - since >= ms && monotonic - this.#setAt >= ms
  }
}
