/** The one place that makes responses. */

import { BufferPool } from '../stream/buffer-pool.ts'
import type { Answer } from './answer.ts'
import { discard } from './answer.ts'
import { errorAnswer } from './error-answer.ts'
import { type Exchange, isHead } from './exchange.ts'
import { fixedHeaders } from './head.ts'
import { sendContent } from './send.ts'
import { forSibling } from './siblings/lead.ts'
import { watchTaken } from './wire.ts'

/** How long, and for how many bytes, a client that sends too much is listened to. */
const lingerMs = 1000
const lingerBytes = 64 * 1024 * 1024

export interface Responder {
  /** Never rejects. A body that breaks cuts the connection: nobody takes it for whole. */
  respond(exchange: Exchange, handling: Promise<Answer>): Promise<void>
}

export interface ResponderDeps {
  readonly pool?: BufferPool
  /** Whether connections are to be closed after their answer. */
  readonly draining: () => boolean
  /** How long a client may take no bytes of an answer. */
  readonly stalledMs: () => number
}

interface SendDeps extends ResponderDeps {
  readonly pool: BufferPool
}

export function createResponder(responderDeps: ResponderDeps): Responder {
  const deps = { pool: new BufferPool(), ...responderDeps }
  return {
    async respond(exchange, handling) {
      const { response, facts } = exchange
      try {
        await send(exchange, await handling, deps)
      } catch (error) {
        facts.error ??= error
        if (response.headersSent || response.destroyed) return void response.destroy()
        await sendError(exchange, error, deps)
      }
    },
  }
}

async function sendError(exchange: Exchange, error: unknown, deps: SendDeps): Promise<void> {
  try {
    await send(exchange, errorAnswer(error, exchange.facts), deps)
  } catch {
    exchange.response.destroy() // long errors are broken off too
  }
}

async function send(
  exchange: Exchange,
  given: Answer,
  { pool, draining, stalledMs }: SendDeps,
): Promise<void> {
  const answer = exchange.inward ? forSibling(exchange, given) : given
  const begin = () => writeHead(exchange, answer, draining())
  if (isHead(exchange)) {
    discard(answer.content)
    begin()
  } else {
    await sendContent(exchange, answer.content, { pool, begin, stalledMs: stalledMs() })
    // A body of no bytes has not begun yet.
    if (!exchange.response.headersSent) begin()
  }
  if (bodyUnread(exchange)) await linger(exchange)
  exchange.response.end()
  watchTaken(exchange.response, stalledMs())
}

/**
 * Takes what the client is still sending for a moment, and throws it away: closing at once would reset the connection,
 * and a reset may reach the client before the answer does.
 */
async function linger({ request, response }: Exchange): Promise<void> {
  response.flushHeaders()
  if (request.headers.expect !== undefined && !request.readableDidRead) return // it waits for our word before it sends
  const { promise: over, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, lingerMs)
  let room = lingerBytes
  request.on('data', (chunk: Buffer) => {
    room -= chunk.length
    if (room < 0) resolve()
  })
  request.resume() // it may have been stopped
  request.once('end', resolve).once('close', resolve).once('error', resolve)
  await over
  clearTimeout(timer)
}

function writeHead(exchange: Exchange, answer: Answer, draining: boolean): void {
  const { response, facts, requestId } = exchange
  if (draining || bodyUnread(exchange)) response.shouldKeepAlive = false
  const headers = fixedHeaders(answer, facts, isHead(exchange))
  response.writeHead(answer.status, { 'x-request-id': requestId, ...headers })
}

/** A body that nobody is going to read would have to arrive whole before the connection could be used again. */
function bodyUnread({ request }: Exchange): boolean {
  const { 'content-length': length = '0', 'transfer-encoding': encoding } = request.headers
  return !request.complete && (length !== '0' || encoding !== undefined)
}
