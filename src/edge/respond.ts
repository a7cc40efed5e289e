/** The one place that makes responses. */

import type { BufferPool } from '../stream/buffer-pool.ts'
import type { Answer } from './answer.ts'
import { contentLength, discard } from './answer.ts'
import { cacheHeaders } from './cache-status.ts'
import { errorAnswer } from './error-answer.ts'
import { type Exchange, isHead } from './exchange.ts'
import { sendContent } from './send.ts'

export interface Responder {
  /** Never rejects. A body that breaks cuts the connection: nobody takes it for whole. */
  respond(exchange: Exchange, handling: Promise<Answer>): Promise<void>
}

/** @param draining whether connections are to be closed after their answer */
export function createResponder(pool: BufferPool, draining: () => boolean): Responder {
  return {
    async respond(exchange, handling) {
      const { response, facts } = exchange
      try {
        const answer = await handling.catch((error: unknown) => errorAnswer(error, facts))
        writeHead(exchange, answer, draining())
        if (isHead(exchange)) discard(answer.content)
        else await sendContent(exchange, answer.content, pool)
        response.end()
      } catch (error) {
        facts.error ??= error
        response.destroy()
      }
    },
  }
}

function writeHead(exchange: Exchange, { status, headers, content }: Answer, draining: boolean): void {
  const { response, facts, requestId } = exchange
  const length =
    headers['content-length'] ??
    (isHead(exchange) && content.kind === 'none' ? undefined : contentLength(content))
  response.writeHead(status, {
    'docker-distribution-api-version': 'registry/2.0',
    'x-content-type-options': 'nosniff',
    'x-request-id': requestId,
    ...(length === undefined || status === 304 ? {} : { 'content-length': length }),
    ...(facts.namespace === undefined ? {} : { 'oci-namespace': facts.namespace }),
    ...(facts.provenance ? cacheHeaders(facts.provenance) : {}),
    ...headers,
    ...(draining || bodyUnread(exchange) ? { connection: 'close' } : {}),
  })
}

/** A body that nobody is going to read would have to arrive whole before the connection could be used again. */
function bodyUnread({ request }: Exchange): boolean {
  const { 'content-length': length = '0', 'transfer-encoding': encoding } = request.headers
  return !request.complete && (length !== '0' || encoding !== undefined)
}
