/** Bytes by digest in one folder of the store: `cached/` or `pushed/`. */
import { readFile, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Metrics } from '../observe/metrics.ts'
import type { Digest } from '../oci/digest.ts'
import { withDescriptor } from '../runtime/descriptors.ts'
import type { WholeFiles } from './durable.ts'
import { type OpenFile, OpenFiles } from './open-files.ts'
import { ifThere, isCode } from './system-error.ts'

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
}

/** Everything rejects with the system's error; what was written is durable when the promise resolves. */
export class Contents implements ReadableContents {
  readonly #deps: ContentsDeps
  readonly #opened = new OpenFiles()

  constructor(deps: ContentsDeps) {
    this.#deps = deps
  }

  open(digest: Digest): Promise<StoredBlob | undefined> {
    return this.#opened.open(this.path(digest))
  }

  async size(digest: Digest): Promise<number | undefined> {
    return (await ifThere(stat(this.path(digest))))?.size
  }

  read(digest: Digest): Promise<Buffer | undefined> {
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
      if (!isCode(error, 'ENOENT') || (await this.size(digest)) !== sizeBytes) throw error
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
    await rm(this.path(digest), { force: true })
    this.forget(digest)
  }

  /** The bytes were deleted or replaced, perhaps by another process: the disk has its space back when nobody reads them. */
  forget(digest: Digest): void {
    this.#opened.forget(this.path(digest))
  }

  close(): void {
    this.#opened.close()
  }

  path(digest: Digest): string {
    return this.#deps.pathOf(digest)
  }

  #count(bytes: number): void {
    const { metrics, area } = this.#deps
    metrics.storeBytes.inc({ area }, bytes)
    metrics.storeObjects.inc({ area })
  }
}
