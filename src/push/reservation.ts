/** What a push is about to add to its namespace, held against all others meanwhile. */
import type { Held } from '../index/local/links.ts'

export class Reservation {
  readonly #sum: Held
  #amount: Readonly<Held> = { bytes: 0, tags: 0 }
  #isOver = false

  /** @param sum of all reservations of the namespace */
  constructor(sum: Held) {
    this.#sum = sum
  }

  get amount(): Readonly<Held> {
    return this.#amount
  }

  /** @param allow throws to leave it as it was */
  resize({ bytes, tags }: Held, allow: () => void = () => {}): void {
    allow()
    if (this.#isOver) return
    this.#sum.bytes += bytes - this.#amount.bytes
    this.#sum.tags += tags - this.#amount.tags
    this.#amount = { bytes, tags }
  }

  release(): void {
    this.resize({ bytes: 0, tags: 0 })
    this.#isOver = true
  }

  [Symbol.dispose](): void {
    this.release()
  }
}
