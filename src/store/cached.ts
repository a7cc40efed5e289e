/** Bytes from upstreams: what cannot be read is as good as absent, since a cache problem fails no pull. */
import type { Digest } from '../oci/digest.ts'
import type { Contents, ReadableContents, StoredBlob } from './contents.ts'
import type { Unreadable } from './unreadable.ts'

export class Cached implements ReadableContents {
  readonly #contents: Contents
  readonly #unreadable: Unreadable
  /** What was dropped and is still there, on a disk that may not be written: it counts as absent until it is replaced. */
  readonly #undeletable = new Set<Digest>()

  constructor(contents: Contents, unreadable: Unreadable) {
    this.#contents = contents
    this.#unreadable = unreadable
  }

  /** An empty file where bytes are expected is the caller's to notice by `size`. */
  open(digest: Digest): Promise<StoredBlob | undefined> {
    return this.#ifReadable(digest, () => this.#contents.open(digest))
  }

  size(digest: Digest): Promise<number | undefined> {
    return this.#ifReadable(digest, () => this.#contents.size(digest))
  }

  read(digest: Digest): Promise<Buffer | undefined> {
    return this.#ifReadable(digest, () => this.#contents.read(digest))
  }

  async put(digest: Digest, content: Buffer): Promise<void> {
    await this.#contents.put(digest, content)
    this.#undeletable.delete(digest)
  }

  async adopt(digest: Digest, path: string, sizeBytes: number): Promise<void> {
    await this.#contents.adopt(digest, path, sizeBytes)
    this.#undeletable.delete(digest)
  }

  async drop(digest: Digest): Promise<void> {
    try {
      await this.#contents.remove(digest)
    } catch (error) {
      this.#undeletable.add(digest)
      this.#unreadable.report(this.path(digest), error)
    }
  }

  /** Its owner has dropped it: where it could not be deleted, it counts as absent here too. */
  async forget(digest: Digest): Promise<void> {
    this.#contents.forget(digest)
    if ((await this.size(digest)) !== undefined) this.#undeletable.add(digest)
  }

  close(): void {
    this.#contents.close()
  }

  path(digest: Digest): string {
    return this.#contents.path(digest)
  }

  async #ifReadable<T>(digest: Digest, read: () => Promise<T | undefined>): Promise<T | undefined> {
    if (this.#undeletable.has(digest)) return undefined
    return this.#unreadable.orAbsent(this.path(digest), read)
  }
}
