/** Work that nobody waits for but that a stop has to let end. */

export class Background {
  readonly #tasks = new Set<Promise<void>>()
  readonly #onError: (error: unknown) => void

  /** @param onError told of every failure: nobody else hears of it */
  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  run(task: () => Promise<unknown>): void {
    const running = task()
      .then(() => {}, this.#onError)
      .finally(() => this.#tasks.delete(running))
    this.#tasks.add(running)
  }

  /** A task of two steps. Resolves when the first has ended, however it did. */
  async firstOf(task: () => Promise<() => Promise<void>>): Promise<void> {
    const first = task()
    this.run(async () => (await first)())
    await first.catch(() => {}) // told of already
  }

  /** Resolves when everything that runs now, and what it starts, has ended. */
  async settled(): Promise<void> {
    while (this.#tasks.size > 0) await Promise.all(this.#tasks)
  }
}
