/** The URLs of an upstream in their order: the next is asked where one failed, and an outage never reads as a 404. */
import type { Clock } from '../runtime/clock.ts'
import type { Accounts } from './auth/accounts.ts'
import type { Endpoint } from './endpoint.ts'
import { Breaker } from './transport/breaker.ts'
import { Deadline } from './transport/deadline.ts'
import { failureOf, type Subject } from './transport/failure.ts'
import type { AskOptions } from './upstream.ts'
import { UpstreamError, type UpstreamFailure } from './upstream-error.ts'

/** Failures that say nothing about whether the endpoint answers in time. */
const silent: ReadonlySet<UpstreamFailure> = new Set(['timeout', 'unreachable', 'resting', 'rate-limited'])

export class Endpoints {
  readonly all: readonly Endpoint[]
  readonly #urls: readonly Accounts[]
  readonly #clock: Clock
  /** Opened by requests that ran out of their own time; it stops only requests that have a time of their own. */
  readonly #impatience: Breaker

  constructor(urls: readonly Accounts[], clock: Clock) {
    this.all = urls.flatMap(({ all }) => all)
    this.#urls = urls
    this.#clock = clock
    this.#impatience = new Breaker(clock, { quickFailures: 1 })
  }

  /** The first success, or the first failure that is not "nothing there", or "nothing there" if every URL said so. */
  async first<T>(
    ask: AskOptions & { attempt?: number; repository: string },
    subject: Subject,
    task: (endpoint: Endpoint, signal: AbortSignal | undefined) => Promise<T>,
  ): Promise<T> {
    using deadline = new Deadline(ask, this.#clock)
    let kept: UpstreamError | undefined
    for (const accounts of rotate(this.#urls, ask.attempt ?? 0)) {
      try {
        return await accounts.first(ask.repository, endpoint =>
          this.#try({ endpoint, ask, subject, deadline }, task),
        )
      } catch (error) {
        if (!(error instanceof UpstreamError)) throw error
        if (!kept || (kept.absent && !error.absent)) kept = error
        if (deadline.expired) break
      }
    }
    throw kept ?? failureOf(subject, 'unreachable', `${subject.upstream} has no URL`)
  }

  async #try<T>(
    { endpoint, ask, subject, deadline }: Try,
    task: (endpoint: Endpoint, signal: AbortSignal | undefined) => Promise<T>,
  ): Promise<T> {
    const { origin } = endpoint
    const attempt = ask.totalMs === undefined ? undefined : this.#impatience.enter(origin)
    if (attempt && 'restingMs' in attempt) {
      const message = `${subject.upstream} is not asked for ${subject.text} now: ${attempt.reason}`
      throw failureOf(subject, 'resting', message, { retryAfterMs: attempt.restingMs })
    }
    try {
      const result = await task(endpoint, deadline.signal)
      this.#impatience.close(origin)
      return result
    } catch (error) {
      if (deadline.expired && !ask.signal?.aborted) {
        const message = (what: string) =>
          `${subject.upstream} did not answer ${what} within ${ask.totalMs} ms`
        attempt?.failed(message('an earlier request'))
        throw failureOf(subject, 'timeout', message(subject.text))
      }
      if (error instanceof UpstreamError && !silent.has(error.failure)) this.#impatience.close(origin)
      else attempt?.abandoned()
      throw error
    }
  }
}

interface Try {
  endpoint: Endpoint
  ask: AskOptions
  subject: Subject
  deadline: Deadline
}

function rotate<T>(all: readonly T[], by: number): T[] {
  const start = all.length === 0 ? 0 : by % all.length
  return [...all.slice(start), ...all.slice(0, start)]
}
