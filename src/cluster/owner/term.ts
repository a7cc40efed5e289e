/** How long what was granted counts, by whichever clock has gone further: one stands still while a machine is suspended. */
import type { Clock } from '../../runtime/clock.ts'
import type { Standing } from './ownership.ts'

export interface Moment {
  readonly monotonic: number
  readonly wall: number
}

export function momentOf(clock: Clock): Moment {
  return { monotonic: clock.monotonic(), wall: clock.now() }
}

export class Term implements Standing {
  readonly #clock: Clock
  readonly #lifeMs: number
  #since: Moment
  #isOver = false

  constructor(clock: Clock, lifeMs: number, since: Moment) {
    this.#clock = clock
    this.#lifeMs = lifeMs
    this.#since = since
  }

  get holds(): boolean {
    if (this.#isOver) return false
    const { monotonic, wall } = this.#since
    const passed = Math.max(this.#clock.monotonic() - monotonic, this.#clock.now() - wall)
    return passed < this.#lifeMs
  }

  /** Counts from that moment on, which is later than the last. */
  renew(since: Moment): void {
    this.#since = since
  }

  /** For good. */
  end(): void {
    this.#isOver = true
  }
}
