/** The way of one answer's body to its client: the head goes out with the first bytes, and a client that stalls is cut off. */
import type { ServerResponse } from 'node:http'
import { lengthOf } from '../stream/bytes.ts'
import type { Exchange } from './exchange.ts'

export interface WireOptions {
  /** Writes status and headers. Until it is called, a failure can still become an honest answer. */
  readonly begin: () => void
  /** How long the client may take no bytes. */
  readonly stalledMs: number
}

export class Wire {
  readonly #exchange: Exchange
  readonly #begin: () => void
  #writing = false

  constructor(exchange: Exchange, { begin, stalledMs }: WireOptions) {
    this.#exchange = exchange
    this.#begin = begin
    // The socket's own timer: it sees that a long write gets on.
    exchange.response.setTimeout(stalledMs, () => this.#cut(stalledMs))
  }

  /** Resolves when the socket has taken the chunks, so that their buffers may be used again. Rejects when the client is gone. */
  write(...chunks: readonly Buffer[]): Promise<void> {
    const { response, facts } = this.#exchange
    if (!response.headersSent) this.#begin()
    this.#writing = true
    return new Promise((resolve, reject) => {
      const taken = (error?: Error | null) => {
        this.#writing = false
        if (error) return reject(error)
        facts.sentBytes += lengthOf(chunks)
        resolve()
      }
      const last = chunks.length - 1
      response.cork() // one system call for all of them
      for (const [at, chunk] of chunks.entries()) response.write(chunk, at === last ? taken : undefined)
      response.uncork()
    })
  }

  /** Bytes that upstream is late with are not the client's fault. */
  #cut(stalledMs: number): void {
    if (!this.#writing) return
    const { response, facts } = this.#exchange
    facts.error ??= new Error(`the client took no bytes for ${stalledMs} ms`)
    response.destroy()
  }
}

/** An answer that is written and not waited for: what the socket has not taken at once has to get on all the same. */
export function watchTaken(response: ServerResponse, stalledMs: number): void {
  if ((response.socket?.writableLength ?? 0) > 0) response.setTimeout(stalledMs, () => response.destroy())
}
