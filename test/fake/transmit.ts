/** Puts an answer on the wire: paced, held back or cut where a fault says so, and counted in the log. */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { constants, type Http2ServerResponse } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Request, sizeOf } from './answer.ts'
import type { Sending } from './fault-answers.ts'
import type { LoggedRequest } from './request-log.ts'

const pacedChunkBytes = 64 * 1024
const creditMs = 20

/** Hands out the bytes of a second in real time, to all who share it. */
export class Pacer {
  readonly #bytesPerSecond: number
  #nextFreeMs = 0

  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond
  }

  get chunkBytes(): number {
    return Math.max(1, Math.min(pacedChunkBytes, Math.floor(this.#bytesPerSecond / 10)))
  }

  async admit(bytes: number): Promise<void> {
    const now = performance.now()
    // Time lost to a late timer is made up for, up to a point.
    const at = Math.max(now - creditMs, this.#nextFreeMs)
    this.#nextFreeMs = at + (bytes / this.#bytesPerSecond) * 1_000
    // A timer's grain is a millisecond: shorter waits are made up for by the next longer one.
    if (at - now > 1) await sleep(at - now)
  }
}

export interface Exchange {
  request: Request
  response: ServerResponse
  entry: LoggedRequest
  pacer: Pacer | undefined
}

export async function transmit(exchange: Exchange, sending: Sending): Promise<void> {
  const { request, response, entry } = exchange
  const { answer, hold, cut } = sending
  if (sending.earlyHints) response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' })
  if (sending.delayMs) await sleep(sending.delayMs)
  if (response.destroyed) return
  response.writeHead(answer.status, answer.headers as Record<string, string | string[]>)
  entry.status = answer.status
  if (request.method === 'HEAD' || answer.status === 304 || answer.status === 204) {
    response.end()
    return
  }
  response.flushHeaders()
  const size = sizeOf(answer.body)
  const pacer = sending.bytesPerSecond ? new Pacer(sending.bytesPerSecond) : exchange.pacer
  const paced = { ...exchange, pacer }
  const stop = Math.min(hold?.at ?? cut?.at ?? sending.lastAt ?? size, size)
  await write(paced, sending, 0, stop)
  if (sending.lastAt !== undefined) {
    takeNoMore(response)
    await write(paced, sending, stop, size)
  }
  if (hold) {
    await flushed(response)
    hold.fault.markReached()
    await Promise.race([hold.fault.released, closed(response)])
    await write(paced, sending, stop, size)
  }
  if (cut) return breakOff(response, cut.how)
  if (!response.destroyed) response.end()
}

/** Ends the connection: politely with FIN, or with RST. What was written before goes out. */
export async function breakOff(response: ServerResponse, how: 'fin' | 'rst'): Promise<void> {
  await flushed(response)
  if (isHttp2(response)) return response.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  if (how === 'rst') response.socket?.resetAndDestroy()
  else response.socket?.destroySoon()
}

/** HTTP/2: GOAWAY, as servers send it before they restart. What is under way goes on. */
function takeNoMore(response: ServerResponse): void {
  if (!isHttp2(response)) throw new Error('last-answer is a fault of HTTP/2')
  response.stream.session?.goaway(constants.NGHTTP2_NO_ERROR, response.stream.id)
}

/** HTTP/2: GOAWAY that leaves this request out, so that it may be asked again elsewhere. */
export function goAway(response: ServerResponse): void {
  if (!isHttp2(response)) throw new Error('go-away is a fault of HTTP/2')
  const { session, id = 0 } = response.stream
  session?.goaway(constants.NGHTTP2_NO_ERROR, Math.max(0, id - 2))
  setImmediate(() => session?.destroy())
}

async function write(
  { response, entry, pacer }: Exchange,
  { answer }: Sending,
  from: number,
  to: number,
): Promise<void> {
  const { content, first } = answer.body
  for (const chunk of content.chunks(first + from, first + to)) {
    const step = pacer?.chunkBytes ?? chunk.length
    for (let at = 0; at < chunk.length; at += step) {
      if (response.destroyed) return
      const piece = chunk.subarray(at, at + step)
      await pacer?.admit(piece.length)
      entry.bodyBytes += piece.length
      if (!response.write(piece)) await drained(response)
    }
  }
}

async function drained(response: ServerResponse): Promise<void> {
  if (response.destroyed) return
  const done = new AbortController()
  const { signal } = done
  try {
    await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })])
  } finally {
    done.abort()
  }
}

async function closed(response: ServerResponse): Promise<void> {
  if (!response.destroyed) await once(response, 'close')
}

/** Everything written so far was handed to the kernel. */
function flushed(response: ServerResponse): Promise<void> {
  const socket = isHttp2(response) ? undefined : response.socket
  if (!socket || socket.destroyed) return Promise.resolve()
  return new Promise(resolve => {
    socket.write(Buffer.alloc(0), () => resolve())
  })
}

/** HTTP/2 has no socket of its own to end: its stream is reset instead. */
function isHttp2(response: ServerResponse | Http2ServerResponse): response is Http2ServerResponse {
  return 'stream' in response
}
