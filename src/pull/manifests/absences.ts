/** Upstream's "there is no such thing", remembered for a moment. */
import type { Clock } from '../../runtime/clock.ts'
import { latest } from '../../runtime/latest.ts'
import { UpstreamError } from '../../upstream/upstream-error.ts'

const maxEntries = 10_000

export class Absences {
  readonly #known = latest<string, { error: UpstreamError; until: number }>(maxEntries)
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Throws upstream's answer again if it was given a moment ago. */
  check(key: string): void {
    const known = this.#known.get(key)
    if (known && this.#clock.monotonic() < known.until) throw known.error
  }

  /** Runs the task unless its absence is known. Only upstream's own word is remembered: an outage is not. */
  async guard<T>(key: string, ttlMs: number, task: () => Promise<T>): Promise<T> {
    this.check(key)
    try {
      return await task()
    } catch (error) {
      if (error instanceof UpstreamError && error.absent && ttlMs > 0) {
        this.#known.set(key, { error, until: this.#clock.monotonic() + ttlMs })
      }
      throw error
    }
  }
}
