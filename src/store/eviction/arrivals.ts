/** Blobs about to get their names. Each has its row before, and loses it when its file has not come, or has gone meanwhile. */
import type { Digest } from '../../oci/digest.ts'

export interface ArrivalsDeps {
  readonly isThere: (digest: Digest) => Promise<boolean>
  /** Its file is not there, and nobody brings it. */
  readonly missing: (digest: Digest) => void
}

export class Arrivals {
  readonly #deps: ArrivalsDeps
  /** How many bring each. */
  readonly #arriving = new Map<Digest, number>()
  /** Those of them that may be gone again, or may not have come. */
  readonly #unsure = new Set<Digest>()

  constructor(deps: ArrivalsDeps) {
    this.#deps = deps
  }

  has(digest: Digest): boolean {
    return this.#arriving.has(digest)
  }

  async bring<T>(digest: Digest, naming: () => Promise<T>): Promise<T> {
    this.#arriving.set(digest, this.#count(digest) + 1)
    try {
      return await naming()
    } catch (error) {
      this.#unsure.add(digest) // it may have failed when the file had its name already
      throw error
    } finally {
      await this.#end(digest)
    }
  }

  gone(digest: Digest): void {
    if (this.has(digest)) this.#unsure.add(digest)
    else this.#deps.missing(digest)
  }

  /** The last to end looks. A disk that does not tell leaves the row: too much is counted then, and never too little. */
  async #end(digest: Digest): Promise<void> {
    const { isThere, missing } = this.#deps
    try {
      while (this.#count(digest) === 1 && this.#unsure.delete(digest)) {
        if (await isThere(digest).catch(() => true)) continue
        if (this.#count(digest) === 1) missing(digest)
        else this.#unsure.add(digest)
      }
    } finally {
      const left = this.#count(digest) - 1
      if (left > 0) this.#arriving.set(digest, left)
      else this.#arriving.delete(digest)
    }
  }

  #count(digest: Digest): number {
    return this.#arriving.get(digest) ?? 0
  }
}
