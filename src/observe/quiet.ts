/** What fails again and again is told of in one line a minute for each cause, and not in one for each pull. */
import { type Clock, systemClock } from '../runtime/clock.ts'

const quietMs = 60_000

export class Quiet {
  readonly #clock: Clock
  readonly #until = new Map<string, number>()

  constructor(clock: Clock = systemClock) {
    this.#clock = clock
  }

  /** @param cause one of few */
  say(cause: string, say: () => void): void {
    const now = this.#clock.monotonic()
    if (now < (this.#until.get(cause) ?? 0)) return
    this.#until.set(cause, now + quietMs)
    say()
  }
}
