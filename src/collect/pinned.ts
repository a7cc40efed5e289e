/** What repositories have pinned: whether any of them has a digest is found out at once, however many they are. */
import type { Digest } from '../oci/digest.ts'

export class Pinned {
  /** By repository. */
  readonly #digests = new Map<string, Set<Digest>>()
  /** How many repositories have it. */
  readonly #holders = new Map<Digest, number>()

  has(digest: Digest): boolean {
    return this.#holders.has(digest)
  }

  isOf(repository: string, digest: Digest): boolean {
    return this.#digests.get(repository)?.has(digest) ?? false
  }

  /** These are all that it has. */
  set(repository: string, digests: Iterable<Digest>): void {
    for (const digest of this.#digests.get(repository) ?? []) this.#release(digest)
    this.#digests.delete(repository)
    this.add(repository, digests)
  }

  /** It has these too. */
  add(repository: string, digests: Iterable<Digest>): void {
    const held = this.#digests.get(repository) ?? new Set()
    for (const digest of digests) {
      if (held.has(digest)) continue
      held.add(digest)
      this.#holders.set(digest, (this.#holders.get(digest) ?? 0) + 1)
    }
    if (held.size > 0) this.#digests.set(repository, held)
  }

  #release(digest: Digest): void {
    const left = (this.#holders.get(digest) ?? 0) - 1
    if (left > 0) this.#holders.set(digest, left)
    else this.#holders.delete(digest)
  }
}
