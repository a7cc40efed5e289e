/** A broadcast: everybody who waits learns of the next change, and nobody is remembered longer than that. */

export class Signal {
  #next = Promise.withResolvers<void>()

  /** Resolves at the next `fire`. */
  next(): Promise<void> {
    return this.#next.promise
  }

  fire(): void {
    this.#next.resolve()
    this.#next = Promise.withResolvers<void>()
  }
}
