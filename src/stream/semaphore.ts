/** So many at once, the others in the order they came. */

export class Semaphore {
  readonly #count: number
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(count: number) {
    this.#count = count
    this.#free = count
  }

  get idle(): boolean {
    return this.#free === this.#count
  }

  /** Resolves with the function that gives the place back; calling it twice gives back one. */
  async acquire(): Promise<() => void> {
    if (this.#free > 0) this.#free -= 1
    else await new Promise<void>(resolve => this.#waiting.push(resolve))
    return once(() => this.#release())
  }

  /** A place if there is one now. */
  tryAcquire(): (() => void) | undefined {
    if (this.#free === 0) return undefined
    this.#free -= 1
    return once(() => this.#release())
  }

  #release(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#free += 1
  }
}

function once(task: () => void): () => void {
  let done = false
  return () => {
    if (done) return
    done = true
    task()
  }
}
