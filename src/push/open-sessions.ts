/** How many upload sessions are open: those of this process by their ids, those of earlier ones once they were counted. */

export class OpenSessions {
  readonly #ids = new Set<string>()
  /** Not on disk yet, so that a count does not miss them. */
  readonly #beginning = new Set<string>()
  /** Ended while a count is under way, which may still have seen them. */
  #ended: Set<string> | undefined
  /** One count after the other. */
  #counting: Promise<void> | undefined

  get count(): number {
    return this.#ids.size + this.#beginning.size
  }

  has(id: string): boolean {
    return this.#ids.has(id) || this.#beginning.has(id)
  }

  /** Counts from now on; rejects, and counts no more, when `create` does. */
  async begin(id: string, create: () => Promise<void>): Promise<void> {
    this.#beginning.add(id)
    try {
      await create()
      this.#ids.add(id)
    } finally {
      this.#beginning.delete(id)
    }
  }

  end(id: string): void {
    this.#ids.delete(id)
    this.#ended?.add(id)
  }

  /** Takes over what is found, and forgets what was there before and is found no more. */
  async recount(list: () => AsyncIterable<{ readonly id: string }>): Promise<void> {
    while (this.#counting) await this.#counting.catch(() => {}) // its caller has the error
    const counting = this.#recount(list())
    this.#counting = counting
    try {
      await counting
    } finally {
      this.#counting = undefined
    }
  }

  async #recount(stored: AsyncIterable<{ readonly id: string }>): Promise<void> {
    const before = [...this.#ids]
    const ended = new Set<string>()
    const found = new Set<string>()
    this.#ended = ended
    for await (const { id } of stored) found.add(id)
    this.#ended = undefined
    for (const id of before) if (!found.has(id)) this.#ids.delete(id)
    for (const id of found) if (!ended.has(id) && !this.#beginning.has(id)) this.#ids.add(id)
  }
}
