/** Chance for traces: the same seed gives the same numbers on every machine. */

export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  /** Mulberry32: from 0 to 1, which it never is. */
  uniform(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  chance(probability: number): boolean {
    return this.uniform() < probability
  }

  /** From `least` to `most`, both included. */
  integer(least: number, most: number): number {
    return least + Math.floor(this.uniform() * (most - least + 1))
  }

  exponential(mean: number): number {
    return -Math.log(1 - this.uniform()) * mean
  }

  /** `sigma` is that of the natural logarithm. */
  logNormal(median: number, sigma: number): number {
    const normal = Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform())
    return median * Math.exp(sigma * normal)
  }
}

/** Places from 0, of which the first are drawn most: the weight of the n-th is n^-exponent. */
export class Zipf {
  readonly #upTo: readonly number[]
  readonly #random: Random

  constructor(random: Random, count: number, exponent: number) {
    let total = 0
    this.#upTo = Array.from({ length: count }, (_, at) => {
      total += (at + 1) ** -exponent
      return total
    })
    this.#random = random
  }

  draw(): number {
    const wanted = this.#random.uniform() * (this.#upTo.at(-1) ?? 0)
    let [low, high] = [0, this.#upTo.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#upTo[middle] ?? 0) <= wanted) low = middle + 1
      else high = middle
    }
    return low
  }
}
