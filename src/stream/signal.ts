/** A broadcast: everybody who waits learns of the next change, and nobody is remembered longer than that. */

export class Signal {
  #next = Promise.withResolvers<void>()
  readonly #listeners = new Set<() => void>()

  /** Resolves at the next `fire`. */
  next(): Promise<void> {
    return this.#next.promise
  }

  /**
   * As `next`, for who may give up waiting: a promise that lasts would remember everybody who ever raced with it.
   * Rejects with the reason of the abort.
   */
  async until(over: AbortSignal): Promise<void> {
    over.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const leave = () => reject(over.reason as Error)
    this.#listeners.add(resolve)
    over.addEventListener('abort', leave, { once: true })
    try {
      await promise
    } finally {
      this.#listeners.delete(resolve)
      over.removeEventListener('abort', leave)
    }
  }

  /** How many wait by `until`. */
  get awaited(): number {
    return this.#listeners.size
  }

  fire(): void {
    this.#next.resolve()
    this.#next = Promise.withResolvers<void>()
    for (const heard of this.#listeners) heard()
  }
}
