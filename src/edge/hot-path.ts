/** The shortest way of a pull: an answer that is kept whole, given as it is. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Lines } from '../observe/lines.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Answer } from './answer.ts'
import type { Exchange } from './exchange.ts'
import { fixedHeaders } from './head.ts'
import type { HotAnswer, HotAnswers, Lasting } from './hot-answers.ts'

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
    const { answers, clock } = this.#deps
    const now = clock.now()
    const hot = answers.find(request, now)
    if (!hot) return false
    const startedAt = performance.now()
    const requestId = randomUUID()
    const head = [...hot.head, 'x-request-id', requestId]
    if (hot.checkedAt !== undefined)
      head.push('age', String(Math.max(0, Math.floor((now - hot.checkedAt) / 1000))))
    response.writeHead(200, head)
    const bytes = request.method === 'HEAD' ? 0 : hot.body.length
    response.end(bytes === 0 ? undefined : hot.body, () => {
      const seconds = (performance.now() - startedAt) / 1000
      this.#count(hot, { seconds, bytes })
      this.#tell(hot, { request, requestId, seconds, bytes })
    })
    return true
  }

  /** What a request needs to be remembered when it is over; nothing may have changed since. */
  begin(): number {
    return this.#deps.answers.changes
  }

  keep(exchange: Exchange, answer: Answer, { since, keys }: { since: number; keys: Lasting['keys'] }): void {
    const { facts, request, path } = exchange
    const { answers, clock } = this.#deps
    const { content, status } = answer
    const { kind, provenance } = facts
    if (status !== 200 || content.kind !== 'buffer' || request.method !== 'GET') return
    if (kind !== 'manifest' && kind !== 'blob') return // lists depend on more than one repository
    if (provenance?.outcome !== 'hit' || provenance.lastsMs === undefined) return
    const now = clock.now()
    const { upstream, repository, reference, digest } = facts
    const { ageMs, lastsMs } = provenance
    const headers = { ...fixedHeaders(answer, facts), 'content-length': String(content.buffer.length) }
    const kept: HotAnswer = {
      head: Object.entries(headers)
        .filter(([name]) => name !== 'age')
        .flat(),
      body: content.buffer,
      keys,
      until: now + lastsMs,
      checkedAt: ageMs === undefined ? undefined : now - ageMs,
      labels: { upstream: upstream ?? '', kind, outcome: 'hit' },
      told: {
        path: JSON.stringify(path),
        what: JSON.stringify({ upstream, repository, reference, digest, cache: 'hit' }).slice(1, -1),
      },
    }
    answers.keep(request.url ?? path, kept, { since, now })
  }

  #count({ labels }: HotAnswer, { seconds, bytes }: { seconds: number; bytes: number }): void {
    const { requests, requestSeconds, responseBytes } = this.#deps.metrics
    requests.inc({ ...labels, status: '200' })
    requestSeconds.observe(labels, seconds)
    responseBytes.inc(labels, bytes)
  }

  /** The same fields as of every other request, in the same order (access-log.ts). */
  #tell({ told }: HotAnswer, { request, requestId, seconds, bytes }: Told): void {
    const { lines, clock } = this.#deps
    if (!lines.wanted) return
    const agent = request.headers['user-agent']
    lines.write(
      `{"level":"info","time":"${this.#stamp.of(clock.now())}","method":"${request.method}","path":${told.path},"status":200,` +
        `"bytes":${bytes},"ms":${Math.round(seconds * 1e6) / 1e3},${told.what},"client":"${request.socket.remoteAddress}",` +
        `${agent === undefined ? '' : `"agent":${JSON.stringify(agent)},`}"requestId":"${requestId}","msg":"request"}\n`,
    )
  }
}

interface Told {
  request: IncomingMessage
  requestId: string
  seconds: number
  bytes: number
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
