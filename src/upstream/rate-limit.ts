/** The budgets an upstream leaves our identities, and the pauses after a 429. */
import { LRUCache } from 'lru-cache'
import type { Metrics } from '../observe/metrics.ts'
import type { Clock } from '../runtime/clock.ts'

/** A configuration file may hold a credential per repository, and change. */
const maxIdentities = 100

export class RateLimits {
  readonly #make: (identity: string) => Budget
  readonly #budgets = new LRUCache<string, Budget>({ max: maxIdentities })
  #latest: Budget | undefined

  constructor(upstream: string, clock: Clock, metrics: Metrics) {
    this.#make = identity => new Budget({ upstream, identity }, clock, metrics)
  }

  /** @param identity a user name, or `anonymous`: the gauges show it */
  of(identity: string): Budget {
    const budget = this.#budgets.get(identity) ?? this.#make(identity)
    this.#budgets.set(identity, budget)
    this.#latest = budget
    return budget
  }

  /** Milliseconds until the identity used last may ask for manifests. */
  get pausedMs(): number {
    return this.#latest?.pausedMs(true) ?? 0
  }
}

export class Budget {
  readonly #labels: { upstream: string; identity: string }
  readonly #clock: Clock
  readonly #metrics: Metrics
  /** Until when, by the monotonic clock: manifest GETs, which are what Docker Hub counts, and every request. */
  readonly #until = { manifests: 0, everything: 0 }

  constructor(labels: { upstream: string; identity: string }, clock: Clock, metrics: Metrics) {
    this.#labels = labels
    this.#clock = clock
    this.#metrics = metrics
  }

  /** Milliseconds until such a request may be sent; 0: now. */
  pausedMs(counted: boolean): number {
    const { manifests, everything } = this.#until
    const until = counted ? Math.max(manifests, everything) : everything
    const leftMs = until === 0 ? 0 : Math.max(0, until - this.#clock.monotonic())
    if (counted && until > 0) this.#metrics.ratelimitBlocked.set(this.#labels, leftMs / 1000)
    return leftMs
  }

  pause(forMs: number, what: 'manifests' | 'everything'): void {
    this.#until[what] = Math.max(this.#until[what], this.#clock.monotonic() + forMs)
    this.#metrics.ratelimitBlocked.set(this.#labels, forMs / 1000)
  }

  /** Reads `ratelimit-limit: 100;w=21600` and its fellow. A HEAD that shows a rest ends the pause: HEADs are free. */
  observe(limit: string | undefined, remaining: string | undefined, method: string): void {
    const allowed = leadingNumber(limit)
    const left = leadingNumber(remaining)
    if (allowed !== undefined) this.#metrics.ratelimitLimit.set(this.#labels, allowed)
    if (left === undefined) return
    this.#metrics.ratelimitRemaining.set(this.#labels, left)
    if (method !== 'HEAD' || left === 0 || this.#until.manifests === 0) return
    this.#until.manifests = 0
    this.#metrics.ratelimitBlocked.set(this.#labels, 0)
  }
}

function leadingNumber(text: string | undefined): number | undefined {
  const match = /^\s*(\d{1,12})/.exec(text ?? '')
  return match ? Number(match[1]) : undefined
}
