/** The budgets an upstream leaves our identities, and the pauses after a 429. */
import { LRUCache } from 'lru-cache'
import type { Metrics } from '../../observe/metrics.ts'
import type { Clock } from '../../runtime/clock.ts'

/** A configuration file may hold a credential per repository, and change. */
const maxIdentities = 100

/** What is paused: manifest GETs, which are what Docker Hub counts, or every request. */
export type What = 'manifests' | 'everything'

/** Who is to pause: an identity of ours at one URL of an upstream. */
export interface Whose {
  readonly upstream: string
  readonly origin: string
  readonly identity: string
}

/** Pauses that others heard of, who ask the same upstream as the same identity. */
export interface SharedPauses {
  /** Milliseconds that are left; 0: none. */
  leftMs(whose: Whose, what: What): number
  /** @param forMs 0: it is over */
  tell(whose: Whose, what: What, forMs: number): void
}

export interface BudgetDeps {
  readonly clock: Clock
  readonly metrics: Metrics
  /** Undefined: there are no others. */
  readonly pauses?: SharedPauses | undefined
}

export class RateLimits {
  readonly #make: (identity: string, shownAs: string | undefined) => Budget
  readonly #budgets = new LRUCache<string, Budget>({ max: maxIdentities })
  #latest: Budget | undefined

  constructor(where: Omit<Whose, 'identity'>, deps: BudgetDeps) {
    this.#make = (identity, shownAs) =>
      shownAs === undefined
        ? new Budget({ ...where, identity }, deps)
        : new Budget({ ...where, identity: shownAs }, { ...deps, pauses: undefined })
  }

  /**
   * @param identity a user name, or `anonymous`: the gauges show it
   * @param shownAs instead, of one that means nothing to anybody else
   */
  of(identity: string, shownAs?: string): Budget {
    const budget = this.#budgets.get(identity) ?? this.#make(identity, shownAs)
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
  readonly #whose: Whose
  readonly #labels: { upstream: string; identity: string }
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #pauses: SharedPauses | undefined
  /** Until when, by the monotonic clock. */
  readonly #until = { manifests: 0, everything: 0 }
  #wasPaused = false

  constructor(whose: Whose, { clock, metrics, pauses }: BudgetDeps) {
    this.#whose = whose
    this.#labels = { upstream: whose.upstream, identity: whose.identity }
    this.#clock = clock
    this.#metrics = metrics
    this.#pauses = pauses
  }

  /** Milliseconds until such a request may be sent; 0: now. */
  pausedMs(counted: boolean): number {
    const everything = this.#leftMs('everything')
    if (!counted) return everything
    const leftMs = Math.max(everything, this.#leftMs('manifests'))
    if (leftMs > 0 || this.#wasPaused) this.#metrics.ratelimitBlocked.set(this.#labels, leftMs / 1000)
    this.#wasPaused ||= leftMs > 0
    return leftMs
  }

  pause(forMs: number, what: What): void {
    this.#until[what] = Math.max(this.#until[what], this.#clock.monotonic() + forMs)
    this.#metrics.ratelimitBlocked.set(this.#labels, forMs / 1000)
    this.#wasPaused = true
    this.#pauses?.tell(this.#whose, what, forMs)
  }

  /** Reads `ratelimit-limit: 100;w=21600` and its fellow. A HEAD that shows a rest ends the pause: HEADs are free. */
  observe(limit: string | undefined, remaining: string | undefined, method: string): void {
    const allowed = leadingNumber(limit)
    const left = leadingNumber(remaining)
    if (allowed !== undefined) this.#metrics.ratelimitLimit.set(this.#labels, allowed)
    if (left === undefined) return
    this.#metrics.ratelimitRemaining.set(this.#labels, left)
    if (method !== 'HEAD' || left === 0 || this.#leftMs('manifests') === 0) return
    this.#until.manifests = 0
    this.#pauses?.tell(this.#whose, 'manifests', 0)
    this.#metrics.ratelimitBlocked.set(this.#labels, 0)
  }

  #leftMs(what: What): number {
    const ownMs = Math.max(0, this.#until[what] - this.#clock.monotonic())
    return Math.max(ownMs, this.#pauses?.leftMs(this.#whose, what) ?? 0)
  }
}

function leadingNumber(text: string | undefined): number | undefined {
  const match = /^\s*(\d{1,12})/.exec(text ?? '')
  return match ? Number(match[1]) : undefined
}
