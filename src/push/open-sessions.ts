/** How many upload sessions are open: those of this process by their ids, those of earlier ones once they were counted. */

export class OpenSessions {
  readonly #ids = new Set<string>()
  /** Ended while a count is under way, which may still have seen them. */
  #ended: Set<string> | undefined

  get count(): number {
    return this.#ids.size
  }

  begin(id: string): void {
    this.#ids.add(id)
  }

  end(id: string): void {
    this.#ids.delete(id)
    this.#ended?.add(id)
  }

  /** Takes over what is found, and forgets what was there before and is found no more. One call at a time. */
  async recount(stored: AsyncIterable<{ readonly id: string }>): Promise<void> {
    const before = [...this.#ids]
    const ended = new Set<string>()
    const found = new Set<string>()
    this.#ended = ended
    for await (const { id } of stored) found.add(id)
    this.#ended = undefined
    for (const id of before) if (!found.has(id)) this.#ids.delete(id)
    for (const id of found) if (!ended.has(id)) this.#ids.add(id)
  }
}
