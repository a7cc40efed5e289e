/** The budget an upstream leaves one identity, and the pauses after a 429. */
import type { Metrics } from '../observe/metrics.ts'
import type { Clock } from '../runtime/clock.ts'

interface Pauses {
  /** Manifest GETs, which are what Docker Hub counts. */
  manifests: number
  /** Every request, after a limit on requests as such. */
  everything: number
}

const none: Pauses = { manifests: 0, everything: 0 }

/** The gauges name whose budget it is: a user name, or `anonymous`. */
export class RateLimit {
  readonly #upstream: string
  readonly #clock: Clock
  readonly #metrics: Metrics
  #pauses: Pauses = none
  /** Whose budget was spoken of last: what the next request is expected to use. */
  #identity = 'anonymous'

  constructor(upstream: string, clock: Clock, metrics: Metrics) {
    this.#upstream = upstream
    this.#clock = clock
    this.#metrics = metrics
  }

  /** A changed credential is another budget, and the pauses of the former one are over. */
  use(identity: string): void {
    if (identity === this.#identity) return
    this.#pauses = none
    this.#identity = identity
  }

  /** Milliseconds until such a request may be sent; 0: now. */
  pausedMs(counted: boolean): number {
    const { manifests, everything } = this.#pauses
    const until = counted ? Math.max(manifests, everything) : everything
    const leftMs = Math.max(0, until - this.#clock.monotonic())
    if (counted) this.#metrics.ratelimitBlocked.set(this.#labels(), leftMs / 1000)
    return leftMs
  }

  pause(forMs: number, what: keyof Pauses): void {
    const until = this.#clock.monotonic() + forMs
    this.#pauses = { ...this.#pauses, [what]: Math.max(this.#pauses[what], until) }
    this.#metrics.ratelimitBlocked.set(this.#labels(), forMs / 1000)
  }

  /** Reads `ratelimit-limit: 100;w=21600` and its fellow. A HEAD that shows a rest ends the pause: HEADs are free. */
  observe(limit: string | undefined, remaining: string | undefined, method: string): void {
    const left = leadingNumber(remaining)
    const allowed = leadingNumber(limit)
    if (allowed !== undefined) this.#metrics.ratelimitLimit.set(this.#labels(), allowed)
    if (left === undefined) return
    this.#metrics.ratelimitRemaining.set(this.#labels(), left)
    if (method !== 'HEAD' || left <= 0) return
    this.#pauses = { ...this.#pauses, manifests: 0 }
    this.#metrics.ratelimitBlocked.set(this.#labels(), 0)
  }

  #labels(): { upstream: string; identity: string } {
    return { upstream: this.#upstream, identity: this.#identity }
  }
}

function leadingNumber(text: string | undefined): number | undefined {
  const match = /^\s*(\d{1,12})/.exec(text ?? '')
  return match ? Number(match[1]) : undefined
}
