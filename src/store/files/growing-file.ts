/** A file that grows at its end and is synced behind the writes, so that the last sync is short. */
import { lengthOf } from '../../stream/bytes.ts'
import type { SharedFile } from './file.ts'

/** After so many bytes the file is synced on the way. */
export const syncEveryBytes = 64 * 1024 * 1024

export interface Growth {
  /** Bytes already in the file. */
  readonly written: number
  /** Bytes of them that are known to be on disk. */
  readonly synced: number
  /** An append waits while so many bytes are not on disk. */
  readonly maxUnsyncedBytes?: number
  /** Told after each sync on the way how much is on disk. */
  readonly onSynced?: (offset: number) => void
}

/** One append at a time. */
export class GrowingFile {
  readonly file: SharedFile
  readonly #maxUnsynced: number
  readonly #onSynced: (offset: number) => void
  #written: number
  #synced: number
  /** How far syncs have been asked for. */
  #asked: number
  #syncing: Promise<void> = Promise.resolve()
  /** After a failed sync the next one would succeed, but the system may have thrown the bytes away. */
  #failure: { error: unknown } | undefined

  constructor(file: SharedFile, { written, synced, maxUnsyncedBytes, onSynced }: Growth) {
    this.file = file
    this.#written = written
    this.#synced = synced
    this.#asked = synced
    this.#maxUnsynced = maxUnsyncedBytes ?? Number.POSITIVE_INFINITY
    this.#onSynced = onSynced ?? (() => {})
  }

  /** Bytes that are in the file, from its start. */
  get written(): number {
    return this.#written
  }

  /** Rejects with the system's error, also with that of a sync on the way; after it the file has to be cut. */
  async append(chunks: readonly Buffer[]): Promise<void> {
    this.#syncIfDue()
    while (!this.#failure && this.#written - this.#synced >= this.#maxUnsynced) await this.#syncing
    this.#throwFailure()
    await this.file.write(chunks, this.#written)
    this.#written += lengthOf(chunks)
    this.#syncIfDue()
  }

  /** Everything written is on disk when it resolves. */
  async sync(): Promise<void> {
    this.#syncBehind()
    await this.#syncing
    this.#throwFailure()
  }

  /** Resolves when no sync is under way. */
  settled(): Promise<void> {
    return this.#syncing
  }

  async truncate(size: number): Promise<void> {
    await this.#syncing
    await this.file.truncate(size)
    this.#written = size
    if (size <= this.#synced) this.#failure = undefined
    this.#synced = Math.min(this.#synced, size)
    this.#asked = Math.min(this.#asked, size)
  }

  /** After a failure: cuts off whatever is not surely in the file, so that it can be appended to again. */
  async cutToSound(): Promise<void> {
    await this.#syncing
    this.#written = this.#failure ? this.#synced : this.#written
    await this.truncate(this.#written)
  }

  #syncIfDue(): void {
    if (this.#written - this.#asked < syncEveryBytes) return
    this.#syncBehind()
    this.#syncing = this.#syncing.then(() => this.#onSynced(this.#synced))
  }

  #syncBehind(): void {
    this.#asked = this.#written
    this.#syncing = this.#syncing.then(() => this.#syncNow())
  }

  async #syncNow(): Promise<void> {
    if (this.#failure) return
    const offset = this.#written
    try {
      await this.file.sync()
      this.#synced = offset
    } catch (error) {
      this.#failure = { error }
    }
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error
  }
}
