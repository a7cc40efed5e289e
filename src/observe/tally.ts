/** Answers that are too many to be told of one by one: counted in plain numbers, and added to the instruments in batches. */

const batchSize = 1024

/** How long each answer of a batch took, and the bytes of all of them. */
type Add = (seconds: Float64Array, bytes: number) => void

export class Tally {
  readonly #add: Add
  readonly #seconds = new Float64Array(batchSize)
  #count = 0
  #bytes = 0

  constructor(add: Add) {
    this.#add = add
  }

  count(seconds: number, bytes: number): void {
    this.#seconds[this.#count] = seconds
    this.#count += 1
    this.#bytes += bytes
    if (this.#count === batchSize) this.flush()
  }

  flush(): void {
    if (this.#count > 0) this.#add(this.#seconds.subarray(0, this.#count), this.#bytes)
    this.#count = 0
    this.#bytes = 0
  }
}

/** One for each kind of answer. */
export class Tallies {
  readonly #all = new Map<string, Tally>()

  of(name: string, add: Add): Tally {
    const tally = this.#all.get(name) ?? new Tally(add)
    this.#all.set(name, tally)
    return tally
  }

  flush(): void {
    for (const tally of this.#all.values()) tally.flush()
  }
}
