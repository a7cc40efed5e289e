/** So many bytes a second, that those who wait for the same disk hardly notice. */
import type { Clock } from '../runtime/clock.ts'

/** Shorter pauses are saved up: a timer is not that exact. */
const leastPauseMs = 10

export class Pace {
  readonly #clock: Clock
  readonly #bytesPerSecond: () => number
  /** When what was taken so far will have taken its time. */
  #paidUntil = Number.NEGATIVE_INFINITY

  /** @param bytesPerSecond 0: no limit */
  constructor(clock: Clock, bytesPerSecond: () => number) {
    this.#clock = clock
    this.#bytesPerSecond = bytesPerSecond
  }

  /** Resolves when these bytes may be read. @throws the signal's reason */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const rate = this.#bytesPerSecond()
    if (rate === 0) return
    const now = this.#clock.monotonic()
    this.#paidUntil = Math.max(this.#paidUntil, now) + (bytes * 1_000) / rate
    const pauseMs = this.#paidUntil - now
    if (pauseMs >= leastPauseMs) await this.#clock.sleep(pauseMs, signal)
  }
}
