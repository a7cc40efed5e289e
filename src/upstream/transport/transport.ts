/** One HTTP exchange with one host: headers of ours, breaker, metrics, and errors as UpstreamErrors. */
import type { Dispatcher } from 'undici'
import type { Metrics } from '../../observe/metrics.ts'
import type { Clock } from '../../runtime/clock.ts'
import { isOutOfDescriptors, withDescriptor } from '../../runtime/descriptors.ts'
import { version } from '../../runtime/version.ts'
import type { UpstreamError } from '../upstream-error.ts'
import { AddressRefused } from './address.ts'
import type { Agents } from './agent.ts'
import type { Breaker } from './breaker.ts'
import { failureOf, type Subject, translate } from './failure.ts'
import { mark, nextMarks } from './loop.ts'
import { watch } from './watch.ts'

export interface HttpRequest {
  method: 'GET' | 'HEAD' | 'POST'
  url: URL
  headers: Readonly<Record<string, string>>
  body?: string
  subject: Subject
  /** A blob: it goes through connections of its own. */
  bulk: boolean
  signal: AbortSignal | undefined
}

export interface HttpAnswer {
  status: number
  headers: Dispatcher.ResponseData['headers']
  /** Its errors are UpstreamErrors. Consume or discard it. */
  body: Dispatcher.ResponseData['body']
  /** Where the answer came from. */
  url: URL
}

export class Transport {
  readonly #agents: Agents
  readonly #breaker: Breaker
  readonly #clock: Clock
  readonly #loopId: string
  readonly #metrics: Metrics

  constructor(deps: { agents: Agents; breaker: Breaker; clock: Clock; loopId: string; metrics: Metrics }) {
    this.#agents = deps.agents
    this.#breaker = deps.breaker
    this.#clock = deps.clock
    this.#loopId = deps.loopId
    this.#metrics = deps.metrics
  }

  /** Resolves at the headers, whatever the status. Rejects with an UpstreamError or the signal's reason. */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    const { subject, url, signal } = request
    const attempt = this.#breaker.enter(url.origin)
    if ('restingMs' in attempt) throw resting(subject, attempt)
    try {
      const answer = await this.#timed(request)
      attempt.succeeded()
      this.#assertNoLoop(request, answer)
      return answer
    } catch (error) {
      if (signal?.aborted) {
        attempt.abandoned()
        throw signal.reason
      }
      const failure = translate(error, subject, { host: url.host, phase: 'headers' })
      if (isHard(failure) && !isOurs(error)) attempt.failed(reasonOf(error, request))
      else attempt.abandoned()
      throw failure
    }
  }

  async #timed(request: HttpRequest): Promise<HttpAnswer> {
    const { upstream, kind } = request.subject
    const started = this.#clock.monotonic()
    let status = 'error'
    try {
      const answer = await withDescriptor(() => this.#dispatch(request))
      status = String(answer.status)
      return answer
    } finally {
      this.#metrics.upstreamRequests.inc({ upstream, kind, status })
      this.#metrics.upstreamSeconds.observe({ upstream, kind }, (this.#clock.monotonic() - started) / 1000)
    }
  }

  async #dispatch(request: HttpRequest, { again = true } = {}): Promise<HttpAnswer> {
    const { url, subject, signal, bulk, body } = request
    const agent = this.#agents.for(url, { bulk })
    const count = (bytes: number) => this.#metrics.upstreamBytes.inc({ upstream: subject.upstream }, bytes)
    const named = (error: Error) => translate(error, subject, { host: url.host, phase: 'body' })
    try {
      const answer = await agent.compose(watch({ named, count })).request({
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method: request.method,
        headers: this.#headers(request.headers),
        ...(body === undefined ? {} : { body }),
        ...(signal === undefined ? {} : { signal }),
      })
      answer.body.on('error', () => {}) // destroying a body is an error to undici, and not one for the process
      return { status: answer.statusCode, headers: answer.headers, body: answer.body, url }
    } catch (error) {
      // RFC 9110 §9.2.2: the server closed an idle connection just as we used it.
      if (again && request.method !== 'POST' && closedWhileIdle(error)) {
        return this.#dispatch(request, { again: false })
      }
      throw error
    }
  }

  #headers(headers: HttpRequest['headers']): Record<string, string> {
    return {
      ...headers,
      'user-agent': `layover/${version}`,
      'accept-encoding': 'identity',
      'cdn-loop': nextMarks(this.#loopId),
    }
  }

  #assertNoLoop({ subject }: HttpRequest, answer: HttpAnswer): void {
    const seen = headerOf(answer, 'cdn-loop') ?? ''
    if (answer.status !== 508 && !seen.includes(mark(this.#loopId))) return
    discard(answer)
    const message = `${subject.upstream} leads back to this registry (status ${answer.status} to ${subject.text})`
    throw failureOf(subject, 'loop', message, { upstreamStatus: answer.status })
  }
}

/** The first value of a header. */
export function headerOf({ headers }: Pick<HttpAnswer, 'headers'>, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : value?.[0]
}

/** Gives up an answer's body: a small one is read, so that the connection can be used again. */
export function discard({ body }: Pick<HttpAnswer, 'body'>): void {
  void body.dump({ limit: 16 * 1024 }).catch(() => {})
}

/** For those who are told later why they must wait; what was asked for is not their business. */
function reasonOf(error: unknown, { subject, url }: HttpRequest): string {
  const earlier = { ...subject, text: 'an earlier request' }
  return translate(error, earlier, { host: url.host, phase: 'headers' }).message
}

function isHard({ failure }: UpstreamError): boolean {
  return failure === 'unreachable' || failure === 'timeout'
}

/** Says nothing of the origin. */
function isOurs(error: unknown): boolean {
  return error instanceof AddressRefused || isOutOfDescriptors(error)
}

function resting(
  subject: Subject,
  { restingMs, reason }: { restingMs: number; reason: string },
): UpstreamError {
  const message = `${subject.upstream} is not asked for the next ${Math.ceil(restingMs / 1000)} s, because ${reason}`
  return failureOf(subject, 'resting', message, { retryAfterMs: restingMs })
}

/** The other side ended a connection that had answered before. */
function closedWhileIdle(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error) || error.code !== 'UND_ERR_SOCKET') return false
  const socket = 'socket' in error ? (error.socket as { bytesRead?: number } | undefined) : undefined
  return (socket?.bytesRead ?? 0) > 0
}
