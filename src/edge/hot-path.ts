/** The shortest way of a pull: an answer that is kept whole, given as it is. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Lines } from '../observe/lines.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Clock } from '../runtime/clock.ts'
import { type Answer, contentLength } from './answer.ts'
import type { Exchange } from './exchange.ts'
import { fixedHeaders } from './head.ts'
import { type HotAnswer, type HotAnswers, hotBytes, targetOf } from './hot-answers.ts'
import type { Lasting } from './kept.ts'

export interface HotPathDeps {
  readonly answers: HotAnswers
  readonly clock: Clock
  readonly metrics: Metrics
  readonly lines: Lines
}

export class HotPath {
  readonly #deps: HotPathDeps
  readonly #stamp = new Stamp()

  constructor(deps: HotPathDeps) {
    this.#deps = deps
  }

  /** Whether the request was answered from memory. */
  answer(request: IncomingMessage, response: ServerResponse): boolean {
    const { answers, clock, lines } = this.#deps
    const target = targetOf(request)
    if (target === undefined) return false
    const now = clock.now()
    const hot = answers.hot.find(target, now)
    if (!hot) return false
    const startedAt = performance.now()
    const requestId = randomUUID()
    const head = [...hot.head, 'x-request-id', requestId]
    if (hot.checkedAt !== undefined)
      head.push('age', String(Math.max(0, Math.floor((now - hot.checkedAt) / 1000))))
    response.writeHead(200, head)
    const bytes = request.method === 'HEAD' ? 0 : hot.body.length
    response.end(bytes === 0 ? undefined : hot.body, () => {
      const ms = performance.now() - startedAt
      hot.tally.count(ms / 1000, bytes)
      if (lines.wanted) lines.write(this.#line(hot, { request, requestId, at: Math.round(now + ms), ms }))
    })
    return true
  }

  /** A larger answer that is kept; the facts of the exchange are those that it was kept with. */
  recall({ request, facts }: Exchange): Answer | undefined {
    const { answers, clock } = this.#deps
    const target = targetOf(request)
    const warm = target === undefined ? undefined : answers.warm.find(target, clock.now())
    if (warm) Object.assign(facts, warm.facts)
    return warm?.answer
  }

  /** What a request needs to be remembered when it is over; nothing may have changed since. */
  begin({ request }: Exchange): Begun {
    const { answers } = this.#deps
    const target = request.method === 'GET' ? targetOf(request) : undefined
    return {
      target,
      since: answers.changes,
      worthBytes: target === undefined ? hotBytes : answers.worthBytes(target),
    }
  }

  keep(exchange: Exchange, answer: Answer, { target, since, keys }: Keeping): void {
    const { answers, clock } = this.#deps
    const { content, status } = answer
    const { provenance } = exchange.facts
    if (target === undefined || since !== answers.changes) return
    if (status !== 200 || content.kind !== 'buffer' || provenance?.outcome !== 'hit') return
    const { ageMs, lastsMs } = provenance
    if (lastsMs === undefined) return
    const now = clock.now()
    const lasting = { keys, until: now + lastsMs, body: content.buffer }
    const checkedAt = ageMs === undefined ? undefined : now - ageMs
    if (content.buffer.length <= hotBytes)
      answers.hot.keep(target, { ...lasting, checkedAt, ...this.#readyMade(exchange, answer) }, now)
    else if (checkedAt === undefined)
      answers.warm.keep(target, { ...lasting, answer, facts: { ...exchange.facts } }, now)
  }

  #readyMade({ facts, path }: Exchange, answer: Answer): Pick<HotAnswer, 'head' | 'tally' | 'told'> {
    const { upstream, repository, reference, digest, kind = 'blob' } = facts
    const asked = (method: string, bytes = 0) =>
      `"method":"${method}","path":${JSON.stringify(path)},"status":200,"bytes":${bytes}`
    return {
      head: Object.entries(fixedHeaders(answer, facts))
        .filter(([name]) => name !== 'age')
        .flat(),
      tally: this.#deps.metrics.tally({ upstream: upstream ?? '', kind, outcome: 'hit' }),
      told: {
        get: asked('GET', contentLength(answer.content)),
        head: asked('HEAD'),
        what: JSON.stringify({ upstream, repository, reference, digest, cache: 'hit' }).slice(1, -1),
      },
    }
  }

  /** The same fields as of every other request, in the same order (access-log.ts). */
  #line({ told }: HotAnswer, { request, requestId, at, ms }: Told): string {
    const agent = request.headers['user-agent']
    return (
      `{"level":"info","time":"${this.#stamp.of(at)}",${request.method === 'HEAD' ? told.head : told.get}` +
      `,"ms":${Math.round(ms * 1e3) / 1e3},${told.what},"client":"${request.socket.remoteAddress}",` +
      `${agent === undefined ? '' : `"agent":${JSON.stringify(agent)},`}"requestId":"${requestId}","msg":"request"}\n`
    )
  }
}

/** A request on the long way. */
export interface Begun {
  /** Undefined: its answer is not to be remembered. */
  readonly target: string | undefined
  readonly since: number
  /** So large an answer is to be read whole, so that it can be remembered. */
  readonly worthBytes: number
}

interface Keeping extends Pick<Begun, 'target' | 'since'> {
  readonly keys: Lasting['keys']
}

interface Told {
  request: IncomingMessage
  requestId: string
  /** Milliseconds since the epoch. */
  at: number
  ms: number
}

/** The time of day in letters, put together once a millisecond. */
class Stamp {
  #at = Number.NaN
  #text = ''

  of(now: number): string {
    if (now !== this.#at) this.#text = new Date(now).toISOString()
    this.#at = now
    return this.#text
  }
}
