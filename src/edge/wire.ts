/** The way of one answer's body to its client: the head goes out with the first bytes, and a client that stalls is cut off. */
import type { Exchange } from './exchange.ts'

export interface WireOptions {
  /** Writes status and headers. Until it is called, a failure can still become an honest answer. */
  readonly begin: () => void
  /** How long the client may take no bytes. */
  readonly stalledMs: number
}

export class Wire implements Disposable {
  readonly #exchange: Exchange
  readonly #begin: () => void
  readonly #timer: NodeJS.Timeout
  #writing = false

  constructor(exchange: Exchange, { begin, stalledMs }: WireOptions) {
    this.#exchange = exchange
    this.#begin = begin
    this.#timer = setTimeout(() => this.#cut(stalledMs), stalledMs).unref()
  }

  /** Resolves when the socket has taken the chunk, so that its buffer may be used again. Rejects when the client is gone. */
  write(chunk: Buffer): Promise<void> {
    const { response, facts } = this.#exchange
    if (!response.headersSent) this.#begin()
    this.#writing = true
    this.#timer.refresh()
    return new Promise((resolve, reject) => {
      response.write(chunk, error => {
        this.#writing = false
        if (error) return reject(error)
        facts.sentBytes += chunk.length
        resolve()
      })
    })
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
  }

  /** Bytes that upstream is late with are not the client's fault. */
  #cut(stalledMs: number): void {
    if (!this.#writing) return
    const { response, facts } = this.#exchange
    facts.error ??= new Error(`the client took no bytes for ${stalledMs} ms`)
    response.destroy()
  }
}
