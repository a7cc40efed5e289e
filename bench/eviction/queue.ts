/** Queues of numbered things, each in one queue at a time, with the bytes that they hold. */

export class Queue {
  readonly #sizes: readonly number[]
  /** Insertion order is the queue's: the first is the oldest. */
  readonly #things = new Set<number>()
  bytes = 0

  constructor(sizes: readonly number[]) {
    this.#sizes = sizes
  }

  get oldest(): number | undefined {
    return this.#things.values().next().value
  }

  get size(): number {
    return this.#things.size
  }

  has(thing: number): boolean {
    return this.#things.has(thing)
  }

  /** To the end. */
  push(thing: number): void {
    this.remove(thing)
    this.#things.add(thing)
    this.bytes += this.#sizes[thing] ?? 0
  }

  remove(thing: number): boolean {
    const was = this.#things.delete(thing)
    if (was) this.bytes -= this.#sizes[thing] ?? 0
    return was
  }

  /** The oldest, taken out. */
  take(): number | undefined {
    const { oldest } = this
    if (oldest !== undefined) this.remove(oldest)
    return oldest
  }

  /** Takes the oldest out until no more than so many bytes are left. */
  trim(bytes: number): void {
    while (this.bytes > bytes) this.take()
  }
}
