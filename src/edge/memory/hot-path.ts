/** The shortest way of a pull: an answer that is kept whole, given as it is. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Lines } from '../../observe/lines.ts'
import type { Metrics } from '../../observe/metrics.ts'
import type { Clock } from '../../runtime/clock.ts'
import { type Answer, contentLength } from '../answer.ts'
import { type Exchange, factsOfAnswer } from '../exchange.ts'
import { certificateOf } from '../gate/certificate.ts'
import { type Gate, shownBy } from '../gate/gate.ts'
import { fixedHeaders } from '../head.ts'
import { nextRequestId } from '../request-ids.ts'
import { type FirstAnswer, type HotAnswers, hotBytes, type ReadyMade, targetOf } from './hot-answers.ts'
import type { Lasting } from './kept.ts'

/** With its head it stays below Node's 16 KiB for such a write. */
const oneWriteBytes = 12 * 1024

/** Large answers on their way at once; more of them come from the disk. */
const maxHeld = 64

export interface HotPathDeps {
  readonly answers: HotAnswers
  readonly clock: Clock
  readonly metrics: Metrics
  readonly lines: Lines
  readonly gate: Pick<Gate, 'lets' | 'ended'>
}

export class HotPath {
  readonly #deps: HotPathDeps
  readonly #stamp = new Stamp()
  /** Large answers on their way out of memory. */
  #held = 0

  constructor(deps: HotPathDeps) {
    this.#deps = deps
  }

  /** Whether the request was answered from memory. */
  answer(request: IncomingMessage, response: ServerResponse, client: string | undefined): boolean {
    const { answers, clock, lines, gate } = this.#deps
    const target = targetOf(request)
    if (target === undefined) return false
    const now = clock.now()
    const hot = answers.hot.find(target, now)
    if (!hot) return false
    const admitted = gate.lets(
      shownBy({ request, certificate: certificateOf(request.socket), client }),
      hot.question,
    )
    if (!admitted) return false
    const startedAt = performance.now()
    const requestId = nextRequestId()
    if (!('told' in hot.form)) hot.form = this.#readyMade(hot.form)
    const { head: fixed, body, tally, told } = hot.form
    const head = [...fixed, 'x-request-id', requestId]
    if (hot.checkedAt !== undefined)
      head.push('age', String(Math.max(0, Math.floor((now - hot.checkedAt) / 1000))))
    response.writeHead(200, head)
    const bytes = request.method === 'HEAD' ? 0 : body.length
    response.on('close', () => {
      const ms = performance.now() - startedAt
      tally.count(ms / 1000, bytes)
      gate.ended(admitted.user)
      const aborted = !response.writableFinished
      if (lines.wanted)
        lines.write(
          line(told, {
            request,
            requestId,
            client,
            user: admitted.user,
            at: this.#stamp.of(Math.round(now + ms)),
            ms,
            aborted,
          }),
        )
    })
    response.end(bytes === 0 ? '' : body, 'latin1')
    return true
  }

  /** A larger answer that is kept; the facts of the exchange are those that it was kept with. */
  recall(exchange: Exchange): Answer | undefined {
    const { answers, clock } = this.#deps
    const target = wholeOf(exchange)
    const warm = target === undefined ? undefined : answers.warm.find(target, clock.now())
    if (!warm || !this.#mayHold(exchange)) return undefined
    Object.assign(exchange.facts, warm.facts)
    return warm.answer
  }

  /** What a request needs to be remembered when it is over; nothing may have changed since. */
  begin(exchange: Exchange): Begun {
    const { answers } = this.#deps
    const target = exchange.request.method === 'GET' ? wholeOf(exchange) : undefined
    return { target, since: answers.changes }
  }

  /** So large an answer is to be read whole, so that it can be remembered. */
  worthBytes(exchange: Exchange, { target }: Begun): number {
    const worth = target === undefined ? hotBytes : this.#deps.answers.worthBytes(target)
    return worth > hotBytes && this.#mayHold(exchange) ? worth : hotBytes
  }

  keep(exchange: Exchange, answer: Answer, { target, since, keys, under }: Keeping): void {
    const { answers, clock } = this.#deps
    const { content, status } = answer
    const { provenance } = exchange.facts
    if (target === undefined || since !== answers.changes || under?.holds === false) return
    if (keys.some(key => answers.isChanging(key))) return
    if (status !== 200 || content.kind !== 'buffer' || provenance?.outcome !== 'hit') return
    const { ageMs, lastsMs } = provenance
    if (lastsMs === undefined) return
    const now = clock.now()
    const { path, question } = exchange
    const facts = factsOfAnswer(exchange.facts)
    const body = content.buffer
    const lasting = { keys, under, until: now + lastsMs, bytes: body.length }
    const checkedAt = ageMs === undefined ? undefined : now - ageMs
    if (body.length <= hotBytes)
      answers.hot.keep(target, { ...lasting, question, checkedAt, form: { path, answer, body, facts } }, now)
    else if (checkedAt === undefined) answers.warm.keep(target, { ...lasting, answer, facts }, now)
  }

  /** A client that takes a large answer slowly holds it in memory, though it may not be kept any more. */
  #mayHold({ response }: Exchange): boolean {
    if (this.#held === maxHeld) return false
    this.#held += 1
    response.once('close', () => {
      this.#held -= 1
    })
    return true
  }

  #readyMade({ path, answer, body, facts }: FirstAnswer): ReadyMade {
    const { upstream, repository, reference, digest, kind = 'blob' } = facts
    const asked = (method: string, bytes = 0) =>
      `"method":"${method}","path":${JSON.stringify(path)},"status":200,"bytes":${bytes}`
    return {
      body: oneWrite(body),
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
}

/** The same fields as of every other request, in the same order (access-log.ts). */
function line(told: ReadyMade['told'], { request, requestId, client, user, at, ms, aborted }: Told): string {
  const { method, headers } = request
  const agent = headers['user-agent']
  return (
    `{"level":"info","time":"${at}",${method === 'HEAD' ? told.head : told.get}` +
    `,"ms":${Math.round(ms * 1e3) / 1e3},${told.what},"client":"${client}",` +
    (user === undefined ? '' : `"user":${JSON.stringify(user)},`) +
    `${agent === undefined ? '' : `"agent":${JSON.stringify(agent)},`}"requestId":"${requestId}"` +
    `${aborted ? ',"aborted":true' : ''},"msg":"request"}\n`
  )
}

/** A string goes out in one piece with the head, from the stack; of a larger one or a buffer Node makes a list first. */
function oneWrite(body: Buffer): string | Buffer {
  return body.length <= oneWriteBytes ? body.toString('latin1') : body
}

/** What is asked for, of what may be kept: a sibling keeps its own. */
function wholeOf({ request, inward }: Exchange): string | undefined {
  return inward ? undefined : targetOf(request)
}

/** A request on the long way. */
export interface Begun {
  /** Undefined: its answer is not to be remembered. */
  readonly target: string | undefined
  readonly since: number
}

interface Keeping extends Begun, Pick<Lasting, 'keys' | 'under'> {}

interface Told {
  request: IncomingMessage
  requestId: string
  client: string | undefined
  user: string | undefined
  /** ISO 8601. */
  at: string
  ms: number
  aborted: boolean
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
