/** Questions and answers between two processes, over a channel that only carries messages. */

export interface Port {
  /** May throw, or lose the message, when the other end is gone: `close` tells then. */
  post(message: unknown): void
  onMessage(take: (message: unknown) => void): void
}

/** Answers what the other end asks; what it throws is what the asker gets. */
export type Answering = (question: unknown) => unknown

type Message =
  | { readonly kind: 'question'; readonly id: number; readonly body: unknown }
  | { readonly kind: 'answer'; readonly id: number; readonly body: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly error: object }
  | { readonly kind: 'word'; readonly body: unknown }

export class Link {
  readonly #port: Port
  readonly #answering: Answering
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>()
  #closed: Error | undefined
  #count = 0

  constructor(port: Port, answering: Answering) {
    this.#port = port
    this.#answering = answering
    port.onMessage(message => this.#take(message as Message))
  }

  get isClosed(): boolean {
    return this.#closed !== undefined
  }

  /** Rejects with the other end's error, or with the reason of `close`. */
  ask(body: unknown): Promise<unknown> {
    if (this.#closed) return Promise.reject(this.#closed)
    const answer = Promise.withResolvers<unknown>()
    this.#count += 1
    this.#asked.set(this.#count, answer)
    this.#post({ kind: 'question', id: this.#count, body })
    return answer.promise
  }

  /** Says something that needs no answer, and that may get lost with the other end. */
  tell(body: unknown): void {
    this.#post({ kind: 'word', body })
  }

  /** The other end is gone: nobody waits for it any more. */
  close(reason: Error): void {
    this.#closed = reason
    for (const { reject } of this.#asked.values()) reject(reason)
    this.#asked.clear()
  }

  #take(message: Message): void {
    if (message.kind === 'question') return void this.#answer(message.id, message.body)
    if (message.kind === 'word') return void this.#answering(message.body)
    const asked = this.#asked.get(message.id)
    this.#asked.delete(message.id)
    if (message.kind === 'answer') asked?.resolve(message.body)
    else asked?.reject(Object.assign(new Error(), message.error))
  }

  async #answer(id: number, body: unknown): Promise<void> {
    try {
      this.#post({ kind: 'answer', id, body: await this.#answering(body) })
    } catch (error) {
      this.#post({ kind: 'failure', id, error: portable(error) })
    }
  }

  #post(message: Message): void {
    if (this.#closed) return
    try {
      this.#port.post(message)
    } catch (cause) {
      this.close(new Error('the other process is gone', { cause }))
    }
  }
}

/** A copied error loses all but its message; what a system's error says of itself is wanted too. */
function portable(error: unknown): object {
  const { message, stack } = error instanceof Error ? error : new Error(String(error))
  return { ...(error as object), message, stack }
}
