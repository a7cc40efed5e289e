/** Several credentials for one URL: which to try first, and when to go on to the next. */
import type { Logger } from '../../observe/log.ts'
import { Quiet } from '../../observe/quiet.ts'
import type { Clock } from '../../runtime/clock.ts'
import { latest } from '../../runtime/latest.ts'
import type { Endpoint } from '../endpoint.ts'
import { UpstreamError } from '../upstream-error.ts'

/** How long the one that worked is tried before those that stand in front of it. */
const preferredMs = 10 * 60_000
const maxRepositories = 10_000

interface Preference {
  readonly endpoint: Endpoint
  /** By the monotonic clock. */
  readonly until: number
}

export class Accounts {
  readonly all: readonly Endpoint[]
  readonly #clock: Clock
  readonly #log: Logger
  readonly #quiet: Quiet
  /** One that was refused altogether is passed by for every repository, one that may not pull something only for that. */
  #preferred: Preference | undefined
  readonly #preferredFor = latest<string, Preference>(maxRepositories)

  /** @param all the same URL, each with one of its credentials, in the order of the configuration */
  constructor(all: readonly Endpoint[], deps: { clock: Clock; log: Logger }) {
    this.all = all
    this.#clock = deps.clock
    this.#log = deps.log
    this.#quiet = new Quiet(deps.clock)
  }

  /**
   * What the first one says that is not refused as who it is.
   * @throws what the task throws; of several refusals one that may pass, if there is any
   */
  async first<T>(repository: string, task: (endpoint: Endpoint) => Promise<T>): Promise<T> {
    let refusal: UpstreamError | undefined
    for (const endpoint of this.#inOrder(repository)) {
      try {
        const result = await task(endpoint)
        if (refusal) this.#prefer(endpoint, repository, refusal)
        return result
      } catch (error) {
        if (this.all.length === 1 || !(error instanceof UpstreamError) || !refusesAccount(error)) throw error
        this.#tell(endpoint, error)
        refusal = refusal === undefined || isFinal(refusal) ? error : refusal
      }
    }
    throw refusal ?? new Error('a URL has one way at least to be asked')
  }

  #inOrder(repository: string): readonly Endpoint[] {
    const now = this.#clock.monotonic()
    const best = [this.#preferredFor.get(repository), this.#preferred].find(
      known => known && now < known.until,
    )
    return best ? [best.endpoint, ...this.all.filter(endpoint => endpoint !== best.endpoint)] : this.all
  }

  /** A pause ends by itself, and until then the one that is paused says so without a request. */
  #prefer(endpoint: Endpoint, repository: string, refusal: UpstreamError): void {
    if (refusal.failure === 'rate-limited') return
    const preference = { endpoint, until: this.#clock.monotonic() + preferredMs }
    if (refusal.altogether) this.#preferred = preference
    this.#preferredFor.set(repository, preference)
  }

  #tell(endpoint: Endpoint, { failure, message }: UpstreamError): void {
    const { upstream, origin } = endpoint
    const which = `${this.all.indexOf(endpoint) + 1} of ${this.all.length}`
    this.#quiet.say(`${which} ${failure}`, () => {
      const text = `credential ${which} for ${origin} was not accepted, the others are tried: ${message}`
      this.#log.warn({ upstream, failure }, text)
    })
  }
}

/** Whoever else asks may be answered. */
function refusesAccount({ failure, upstreamStatus }: UpstreamError): boolean {
  if (failure === 'denied') return upstreamStatus === 401 || upstreamStatus === 403
  return failure === 'credential-refused' || failure === 'rate-limited' || failure === 'hidden'
}

function isFinal({ failure }: UpstreamError): boolean {
  return failure === 'denied' || failure === 'hidden'
}
