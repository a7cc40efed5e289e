/** A reader's way along a stored file, and on with a flight from where the disk gives no more of it. */
import type { StoredBlob } from '../../store/contents.ts'
import type { Bytes, SharedBytes } from '../../stream/bytes.ts'

export class Mended implements Bytes {
  readonly #stored: StoredBlob
  readonly #fetchAgain: (cause: unknown) => Promise<Bytes>
  /** In place of the file. */
  #again: Bytes | undefined
  #isClosed = false

  /** @param fetchAgain gives the blob anew, because the file could not be read */
  constructor(stored: StoredBlob, fetchAgain: (cause: unknown) => Promise<Bytes>) {
    this.#stored = stored
    this.#fetchAgain = fetchAgain
  }

  async read(target: Buffer, position: number): Promise<readonly Buffer[]> {
    if (this.#again) return this.#again.read(target, position)
    try {
      const chunks = await this.#stored.file.readFrom(position, target)
      if (chunks.length > 0 || position >= this.#stored.size) return chunks
      throw new Error(`the file ended at ${position} of ${this.#stored.size} bytes`)
    } catch (error) {
      if (this.#isClosed) throw error
      this.#again = await this.#fetchAgain(error)
    }
    if (this.#isClosed) this.#again.close() // by a reader who left meanwhile
    return this.#again.read(target, position)
  }

  get shared(): SharedBytes | undefined {
    const { file, size } = this.#stored
    return this.#again ? this.#again.shared : { path: file.path, until: async () => size }
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#stored.file.release()
    this.#again?.close()
  }
}
