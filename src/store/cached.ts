/** Bytes from upstreams: what cannot be read is as good as absent, since a cache problem fails no pull. */
import type { Digest } from '../oci/digest.ts'
import type { Contents, ReadableContents, StoredBlob } from './contents.ts'
import type { Capacity } from './eviction/capacity.ts'
import type { Reservation } from './eviction/reservation.ts'
import type { Uses } from './eviction/uses.ts'
import type { Unreadable } from './files/unreadable.ts'

export interface CachedDeps {
  readonly contents: Contents
  readonly unreadable: Unreadable
  /** Undefined: as much as the disk takes. */
  readonly capacity: Capacity | undefined
  readonly uses: Uses
}

export class Cached implements ReadableContents {
  readonly #deps: CachedDeps
  readonly #contents: Contents
  /** What was dropped and is still there, on a disk that may not be written: it counts as absent until it is replaced. */
  readonly #undeletable = new Set<Digest>()

  constructor(deps: CachedDeps) {
    this.#deps = deps
    this.#contents = deps.contents
  }

  /** An empty file where bytes are expected is the caller's to notice by `size`. */
  open(digest: Digest): Promise<StoredBlob | undefined> {
    return this.#ifReadable(digest, () => this.#used(digest, this.#contents.open(digest)))
  }

  size(digest: Digest): Promise<number | undefined> {
    return this.#ifReadable(digest, () => this.#contents.size(digest))
  }

  read(digest: Digest): Promise<Buffer | undefined> {
    return this.#ifReadable(digest, () => this.#used(digest, this.#contents.read(digest)))
  }

  /** False when there is no room for it. */
  async put(digest: Digest, content: Buffer, owner: string): Promise<boolean> {
    const reservation = await this.#deps.capacity?.reserve(owner, content.length)
    if (!reservation && this.#deps.capacity) return false
    try {
      await this.#arrive(digest, reservation, content.length, () => this.#contents.put(digest, content))
      return true
    } finally {
      reservation?.release()
    }
  }

  /** @param reservation of at least its bytes; given back */
  adopt(
    digest: Digest,
    path: string,
    sizeBytes: number,
    reservation: Reservation | undefined,
  ): Promise<void> {
    return this.#arrive(digest, reservation, sizeBytes, () => this.#contents.adopt(digest, path, sizeBytes))
  }

  /** False when the disk refused: then it counts as absent all the same. */
  async drop(digest: Digest): Promise<boolean> {
    try {
      await this.#contents.remove(digest)
      this.#deps.capacity?.gone(digest)
      return true
    } catch (error) {
      this.#undeletable.add(digest)
      this.#deps.unreadable.report(this.path(digest), error)
      return false
    }
  }

  /** Its owner has dropped it. */
  forget(digest: Digest, isGone: boolean): void {
    this.#contents.forget(digest)
    if (!isGone) this.#undeletable.add(digest)
  }

  close(): void {
    this.#contents.close()
  }

  path(digest: Digest): string {
    return this.#contents.path(digest)
  }

  async #arrive(
    digest: Digest,
    reservation: Reservation | undefined,
    sizeBytes: number,
    naming: () => Promise<void>,
  ): Promise<void> {
    const { capacity } = this.#deps
    await (capacity && reservation ? capacity.arrive(digest, reservation, sizeBytes, naming) : naming())
    this.#undeletable.delete(digest)
  }

  async #used<T>(digest: Digest, reading: Promise<T | undefined>): Promise<T | undefined> {
    const found = await reading
    if (found !== undefined) this.#deps.uses.note(digest)
    return found
  }

  async #ifReadable<T>(digest: Digest, read: () => Promise<T | undefined>): Promise<T | undefined> {
    if (this.#undeletable.has(digest)) return undefined
    return this.#deps.unreadable.orAbsent(this.path(digest), read)
  }
}
