/** A breaker per origin: a dead upstream costs seconds once, not per request. */
import type { Clock } from '../../runtime/clock.ts'
import { latest } from '../../runtime/latest.ts'

const firstRestMs = 5_000
const longestRestMs = 30_000
/** A failure that took this long is dear enough to be the last for a while. */
const slowMs = 1_000
/** Quick failures in a row that count as down, unless told otherwise. */
const defaultQuickFailures = 5
/** Redirects choose the origins of CDNs, so there must be a bound. */
const maxOrigins = 1_000

/** One attempt that the breaker let through; exactly one of the three is called at its end. */
export interface Attempt {
  succeeded(): void
  failed(reason: string): void
  /** Ended without a verdict, e.g. because the caller left. */
  abandoned(): void
}

export interface Resting {
  restingMs: number
  reason: string
}

interface State {
  failures: number
  restMs: number
  restUntil: number | undefined
  probing: boolean
  reason: string
}

export class Breaker {
  readonly #clock: Clock
  readonly #quickFailures: number
  readonly #states = latest<string, State>(maxOrigins)

  constructor(clock: Clock, { quickFailures = defaultQuickFailures } = {}) {
    this.#clock = clock
    this.#quickFailures = quickFailures
  }

  /** Lets the attempt through, or says how long the origin rests. After its rest one attempt at a time probes it. */
  enter(origin: string): Attempt | Resting {
    const state = this.#states.get(origin) ?? closed()
    const now = this.#clock.monotonic()
    const { restUntil } = state
    if (restUntil !== undefined && (now < restUntil || state.probing)) {
      return { restingMs: Math.max(restUntil - now, slowMs), reason: state.reason }
    }
    const probing = restUntil !== undefined
    state.probing = probing
    this.#states.set(origin, state)
    return {
      succeeded: () => this.#states.delete(origin),
      failed: reason => this.#fail(origin, { reason, probing, tookMs: this.#clock.monotonic() - now }),
      abandoned: () => {
        if (probing) state.probing = false
      },
    }
  }

  /** Origins that are left alone at the moment, or whose next attempt is a probe. */
  resting(): readonly (Resting & { readonly origin: string })[] {
    const now = this.#clock.monotonic()
    return [...this.#states.entries()].flatMap(([origin, { restUntil, reason }]) =>
      restUntil === undefined ? [] : { origin, reason, restingMs: Math.max(restUntil - now, 0) },
    )
  }

  /** Something else showed that the origin is well. */
  close(origin: string): void {
    this.#states.delete(origin)
  }

  #fail(
    origin: string,
    { reason, probing, tookMs }: { reason: string; probing: boolean; tookMs: number },
  ): void {
    // A state that was closed meanwhile begins anew; attempts that began before a rest do not lengthen it.
    const state = this.#states.get(origin) ?? closed()
    this.#states.set(origin, state)
    state.reason = reason
    state.failures += 1
    if (state.restUntil !== undefined && !probing) return
    if (!probing && tookMs < slowMs && state.failures < this.#quickFailures) return
    state.restUntil = this.#clock.monotonic() + state.restMs
    state.restMs = Math.min(state.restMs * 2, longestRestMs)
    state.probing = false
  }
}

function closed(): State {
  return { failures: 0, restMs: firstRestMs, restUntil: undefined, probing: false, reason: '' }
}
