/** Bytes by digest in one folder of the store: `cached/` or `pushed/`. */
import type { Stats } from 'node:fs'
import { readFile, stat, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Metrics } from '../observe/metrics.ts'
import type { Digest } from '../oci/digest.ts'
import { withDescriptor } from '../runtime/descriptors.ts'
import type { Doubts } from './doubts.ts'
import type { WholeFiles } from './files/durable.ts'
import { type OpenFile, OpenFiles } from './files/open-files.ts'
import { ifThere, isCode } from './files/system-error.ts'

export type StoredBlob = OpenFile

/** Undefined stands for what is not there. */
export interface ReadableContents {
  open(digest: Digest): Promise<StoredBlob | undefined>
  /** Bytes. */
  size(digest: Digest): Promise<number | undefined>
  /** The whole content, for manifests. */
  read(digest: Digest): Promise<Buffer | undefined>
}

export interface ContentsDeps {
  readonly files: WholeFiles
  readonly metrics: Metrics
  readonly area: 'cached' | 'pushed'
  readonly pathOf: (digest: Digest) => string
  /** Files that are not given unseen; undefined: there are none. */
  readonly doubts: Doubts | undefined
}

/** Everything rejects with the system's error; what was written is durable when the promise resolves. */
export class Contents implements ReadableContents {
  readonly #deps: ContentsDeps
  readonly #opened = new OpenFiles()

  constructor(deps: ContentsDeps) {
    this.#deps = deps
  }

  async open(digest: Digest): Promise<StoredBlob | undefined> {
    const found = await this.#opened.open(this.path(digest))
    const { doubts } = this.#deps
    return found && doubts ? this.#ifSound(digest, found, doubts) : found
  }

  async size(digest: Digest): Promise<number | undefined> {
    const found = await this.#look(digest)
    if (!found || !this.#deps.doubts?.cover(found)) return found?.size
    const stored = await this.open(digest)
    stored?.file.release()
    return stored?.size
  }

  async read(digest: Digest): Promise<Buffer | undefined> {
    if (this.#deps.doubts && (await this.size(digest)) === undefined) return undefined
    return ifThere(withDescriptor(() => readFile(this.path(digest))))
  }

  /** The caller has verified the digest. */
  async put(digest: Digest, content: Buffer): Promise<void> {
    await this.#deps.files.write(this.path(digest), content, { durable: true })
    this.forget(digest)
    this.#count(content.length)
  }

  /**
   * Takes in a file whose content is on disk already. The caller has verified the digest. May be called again after a
   * failure, which may have come when the file had been moved and its folder not yet synced.
   */
  async adopt(digest: Digest, path: string, sizeBytes: number): Promise<void> {
    const { files } = this.#deps
    const target = this.path(digest)
    try {
      await files.move(path, target, { durable: true })
    } catch (error) {
      if (!isCode(error, 'ENOENT') || (await this.#look(digest))?.size !== sizeBytes) throw error
      await files.folders.sync(dirname(target))
    }
    this.forget(digest)
    this.#count(sizeBytes)
  }

  /** One more name, not synced yet, for a file whose content is on disk already and has the digest. */
  async link(digest: Digest, path: string, sizeBytes: number): Promise<void> {
    if (await this.#deps.files.link(path, this.path(digest))) this.#count(sizeBytes)
  }

  /** Into the trash, where the caller deletes it; undefined when it is not here. */
  async moveAway(digest: Digest): Promise<string | undefined> {
    const doomed = this.#deps.files.scratch()
    try {
      await this.#deps.files.move(this.path(digest), doomed, { durable: false })
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined
      throw error
    }
    this.forget(digest)
    return doomed
  }

  /** Who reads the bytes goes on reading. */
  async remove(digest: Digest): Promise<void> {
    await ifThere(unlink(this.path(digest)))
    this.forget(digest)
  }

  /** The bytes were deleted or replaced, perhaps by another process: the disk has its space back when nobody reads them. */
  forget(digest: Digest): void {
    this.#opened.forget(this.path(digest))
  }

  isRead(digest: Digest): boolean {
    return this.#opened.isRead(this.path(digest))
  }

  close(): void {
    this.#opened.close()
  }

  path(digest: Digest): string {
    return this.#deps.pathOf(digest)
  }

  #look(digest: Digest): Promise<Stats | undefined> {
    return ifThere(stat(this.path(digest)))
  }

  /** A file that is not what its name says counts as absent, and may have another in its place by now. */
  async #ifSound(digest: Digest, found: StoredBlob, doubts: Doubts): Promise<StoredBlob | undefined> {
    let isSound = false
    try {
      isSound = await doubts.isSound(digest, found)
      return isSound ? found : undefined
    } finally {
      if (!isSound) {
        found.file.release()
        this.forget(digest)
      }
    }
  }

  #count(bytes: number): void {
    const { metrics, area } = this.#deps
    metrics.storeBytes.inc({ area }, bytes)
    metrics.storeObjects.inc({ area })
  }
}
