/** The clients of the configured upstreams, kept over reloads with their tokens and connections. */
import { isDeepStrictEqual } from 'node:util'
import type { UpstreamConfig } from '../config/config.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Lookup } from '../runtime/lookup.ts'
import { createUpstream } from '../upstream/client.ts'
import type { SharedPauses } from '../upstream/transport/rate-limit.ts'
import type { Upstream } from '../upstream/upstream.ts'

export interface UpstreamClientsDeps {
  readonly clock: Clock
  readonly lookup: Lookup
  readonly loopId: string
  readonly log: Logger
  readonly metrics: Metrics
  /** Undefined: there are no other replicas. */
  readonly pauses: SharedPauses | undefined
}

/** How long a replaced upstream still begins requests for those who came before the reload. */
const retiredMs = 600_000

export class UpstreamClients {
  readonly #deps: UpstreamClientsDeps
  readonly #stopping = new AbortController()
  /** By registry. */
  readonly #current = new Map<string, Upstream>()
  /** Replaced by a reload, and still finishing what they began. */
  readonly #retired = new Set<Upstream>()

  constructor(deps: UpstreamClientsDeps) {
    this.#deps = deps
  }

  /** A client whose options did not change is kept. */
  of({ options }: UpstreamConfig): Upstream {
    const known = this.#current.get(options.registry)
    if (known && isDeepStrictEqual(known.options, options)) return known
    if (known) void this.#closeBehind(known)
    const upstream = createUpstream(options, this.#deps)
    this.#current.set(options.registry, upstream)
    return upstream
  }

  /** Lets go of those that are configured no longer. */
  keepOnly(upstreams: readonly UpstreamConfig[]): void {
    const kept = new Set(upstreams.map(({ options }) => options.registry))
    for (const [registry, upstream] of this.#current) {
      if (kept.has(registry)) continue
      this.#current.delete(registry)
      void this.#closeBehind(upstream)
    }
  }

  async destroy(): Promise<void> {
    this.#stopping.abort(new Error('Layover is stopping'))
    await Promise.all([...this.#current.values(), ...this.#retired].map(upstream => upstream.destroy()))
  }

  /** Requests that were resolved to it still wait for a place, follow a redirect or go on after a break. */
  async #closeBehind(upstream: Upstream): Promise<void> {
    const { clock, log } = this.#deps
    this.#retired.add(upstream)
    try {
      await clock.sleep(retiredMs, this.#stopping.signal)
      await upstream.close()
      this.#retired.delete(upstream)
    } catch (error) {
      if (this.#stopping.signal.aborted) return // the stop ends it
      log.warn({ upstream: upstream.registry, err: error }, 'closing an upstream')
    }
  }
}
