/** Tells who asks for it which digests the records of local repositories were just made to name. */
import type { Digest } from '../../oci/digest.ts'
import type { RepositoryKey } from '../../store/layout.ts'

/** Called within the locks of the write, at its end, whether or not it succeeded. */
export type Seen = (key: RepositoryKey, digest: Digest) => void

export class Watch {
  readonly #watchers = new Set<Seen>()

  /** Every write that ends from now on, also one that is under way. Disposing ends it. */
  begin(seen: Seen): Disposable {
    this.#watchers.add(seen)
    return { [Symbol.dispose]: () => void this.#watchers.delete(seen) }
  }

  tell(key: RepositoryKey, digests: Iterable<Digest>): void {
    if (this.#watchers.size === 0) return
    for (const digest of digests) for (const seen of this.#watchers) seen(key, digest)
  }
}
