/** Who relies on bytes that no record names yet. While somebody does they are not removed; who comes during a removal waits for its end. */
import type { Digest } from '../oci/digest.ts'

export class Claims {
  readonly #claimed = new Map<Digest, number>()
  readonly #removing = new Map<Digest, Promise<unknown>>()

  /** Within the task the bytes stay, if they are there. Claims do not exclude each other. */
  async claim<T>(digest: Digest, task: () => Promise<T>): Promise<T> {
    for (let removal = this.#removing.get(digest); removal; removal = this.#removing.get(digest))
      await removal.catch(() => {}) // its own caller hears of it
    this.#claimed.set(digest, (this.#claimed.get(digest) ?? 0) + 1)
    try {
      return await task()
    } finally {
      const left = (this.#claimed.get(digest) ?? 0) - 1
      if (left > 0) this.#claimed.set(digest, left)
      else this.#claimed.delete(digest)
    }
  }

  /** Resolves with undefined, and nothing done, where somebody claims the digest. */
  async unlessClaimed<T>(digest: Digest, remove: () => Promise<T>): Promise<T | undefined> {
    if (this.#claimed.has(digest) || this.#removing.has(digest)) return undefined
    const removal = remove().finally(() => this.#removing.delete(digest))
    this.#removing.set(digest, removal)
    return removal
  }
}
