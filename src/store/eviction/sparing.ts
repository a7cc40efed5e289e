/** What took long and had no use is not done again at once: so that it costs a small share of the time, however long it takes. */
import type { Clock } from '../../runtime/clock.ts'

/** Of the time. */
const share = 0.1

export class Sparing<Key> {
  readonly #clock: Clock
  readonly #done = new Map<Key, { least: number; until: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Whether as much as this, or less, was of no use lately. */
  has(key: Key, amount = 0): boolean {
    const done = this.#done.get(key)
    return done !== undefined && amount >= done.least && this.#clock.monotonic() < done.until
  }

  /** @param since by the monotonic clock */
  was(key: Key, since: number, amount = 0): void {
    const now = this.#clock.monotonic()
    this.#done.set(key, { least: amount, until: now + (now - since) / share })
  }
}
