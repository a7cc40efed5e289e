/** Something that expires: fetched once for all who wait, renewed ahead of its end while it is used. */
import type { Clock } from '../../runtime/clock.ts'
import { CredentialUnavailable } from './credential.ts'

export interface Lease<T> {
  readonly value: T
  readonly lifeMs: number
  /** How long before its end it is renewed, if it lives twice as long; 5 minutes unless told otherwise. */
  readonly aheadMs?: number
}

export interface RefreshingDeps {
  readonly clock: Clock
  readonly log: { warn(fields: object, message: string): void }
  /** For the log: which upstream it is for. */
  readonly upstream: string
}

const defaultAheadMs = 5 * 60_000
/** A clock that is wrong must not have us fetch with each request. */
const shortestLifeMs = 60_000
/** Metadata servers give the same token until shortly before its end. */
const leastBetweenMs = 30_000
/** One that is younger was refused for another reason than its age. */
const youngMs = 60_000
const firstBackOffMs = 2_000
const longestBackOffMs = 60_000

interface Held<T> {
  readonly value: T
  /** All by the monotonic clock. */
  readonly since: number
  readonly renewAt: number
  readonly until: number
}

export class Refreshing<T> {
  readonly #fetch: () => Promise<Lease<T>>
  readonly #deps: RefreshingDeps
  #held: Held<T> | undefined
  #running: Promise<T> | undefined
  #failure: { error: CredentialUnavailable; until: number; backOffMs: number } | undefined
  #complained = false

  /** @param fetch rejects with CredentialUnavailable */
  constructor(fetch: () => Promise<Lease<T>>, deps: RefreshingDeps) {
    this.#fetch = fetch
    this.#deps = deps
  }

  /** @throws CredentialUnavailable when there is none that is good; for a while after a failure without a new try */
  async get(): Promise<T> {
    const held = this.#held
    const now = this.#deps.clock.monotonic()
    if (!held || now >= held.until) return this.#renewed()
    if (now >= held.renewAt && !this.#running && !this.#restingError()) {
      this.#renewed().catch((error: Error) => this.#complain(error, held.until - now))
    }
    return held.value
  }

  /** A refusal may mean that it has expired: it was not fetched just now. */
  get isDue(): boolean {
    return this.#held !== undefined && this.#deps.clock.monotonic() - this.#held.since >= youngMs
  }

  /** Another one than the refused, be it one that was fetched meanwhile; undefined: that one is as new as can be. */
  async renew(refused: T): Promise<T | undefined> {
    const held = this.#held
    if (held && held.value !== refused) return this.get()
    return this.isDue ? this.#renewed() : undefined
  }

  async #renewed(): Promise<T> {
    const resting = this.#restingError()
    if (resting && !this.#running) throw resting
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  #restingError(): CredentialUnavailable | undefined {
    return this.#failure && this.#deps.clock.monotonic() < this.#failure.until
      ? this.#failure.error
      : undefined
  }

  async #run(): Promise<T> {
    const { clock } = this.#deps
    try {
      const { value, lifeMs, aheadMs = defaultAheadMs } = await this.#fetch()
      const life = Number.isFinite(lifeMs) ? Math.max(lifeMs, shortestLifeMs) : shortestLifeMs
      const since = clock.monotonic()
      const renewMs = Math.max(life / 2, life - aheadMs, leastBetweenMs)
      this.#held = { value, since, renewAt: since + renewMs, until: since + life }
      this.#failure = undefined
      this.#complained = false
      return value
    } catch (error) {
      const backOffMs = Math.min((this.#failure?.backOffMs ?? firstBackOffMs / 2) * 2, longestBackOffMs)
      const reason = unavailable(error)
      this.#failure = { error: reason, until: clock.monotonic() + backOffMs, backOffMs }
      throw reason
    }
  }

  /** Nobody waits for this one, so nobody else tells of it. */
  #complain({ message }: Error, leftMs: number): void {
    if (this.#complained) return
    this.#complained = true
    const { log, upstream } = this.#deps
    const minutes = Math.ceil(leftMs / 60_000)
    log.warn(
      { upstream },
      `the credential for ${upstream} could not be renewed, the present one is good for ${minutes} min: ${message}`,
    )
  }
}

/** The words of others may quote what they read. */
function unavailable(error: unknown): CredentialUnavailable {
  if (error instanceof CredentialUnavailable) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unexpected answer'
  return new CredentialUnavailable(code)
}
