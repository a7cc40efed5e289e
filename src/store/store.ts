/** The store: bytes by digest and the records about them, on local disk. */
import { readFile, rm, stat } from 'node:fs/promises'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Digest } from '../oci/digest.ts'
import { isCode, writeWhole } from './durable.ts'
import { SharedFile } from './file.ts'
import type { Layout } from './layout.ts'
import { openLayout } from './open.ts'
import type { Partial } from './partial.ts'
import { Partials } from './partials.ts'
import { Records } from './records.ts'

export interface StoredBlob {
  /** To be released by who opened it. */
  readonly file: SharedFile
  /** Bytes. */
  readonly size: number
}

/** @throws StoreUnusable */
export async function openStore(root: string, deps: { log: Logger; metrics: Metrics }): Promise<Store> {
  const { layout, unlock } = await openLayout(root)
  return new Store(layout, unlock, deps)
}

export class Store {
  readonly layout: Layout
  readonly records: Records
  readonly #partials: Partials
  readonly #unlock: () => void
  readonly #metrics: Metrics

  constructor(layout: Layout, unlock: () => void, { log, metrics }: { log: Logger; metrics: Metrics }) {
    this.layout = layout
    this.records = new Records(layout, log)
    this.#partials = new Partials(layout)
    this.#unlock = unlock
    this.#metrics = metrics
  }

  /** Undefined when the bytes are not here. An empty file where bytes are expected is the caller's to notice by `size`. */
  async open(digest: Digest): Promise<StoredBlob | undefined> {
    try {
      const file = await SharedFile.open(this.layout.cached(digest), 'r')
      return { file, size: await this.#sizeOpen(file) }
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined
      throw error
    }
  }

  /** Bytes; undefined when they are not here. */
  async size(digest: Digest): Promise<number | undefined> {
    try {
      return (await stat(this.layout.cached(digest))).size
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined
      throw error
    }
  }

  /** The whole content, for manifests. */
  async read(digest: Digest): Promise<Buffer | undefined> {
    try {
      return await readFile(this.layout.cached(digest))
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined
      throw error
    }
  }

  /** Durable when it resolves. The caller has verified the digest. */
  async put(digest: Digest, content: Buffer): Promise<void> {
    await writeWhole(this.layout.cached(digest), content, { scratch: this.layout.trash, durable: true })
    this.#count(content.length)
  }

  /** Deletes the bytes; who reads them goes on reading. */
  async drop(digest: Digest): Promise<void> {
    await rm(this.layout.cached(digest), { force: true })
  }

  /** A file to fill for this digest; what an earlier flight left behind is its beginning. */
  begin(digest: Digest): Promise<Partial> {
    return this.#partials.begin(digest)
  }

  /** Durable under its digest's name when it resolves. The caller has verified the digest. */
  async commit(partial: Partial): Promise<void> {
    await partial.commit()
    this.#count(partial.written)
  }

  /** Deletes partials that no flight went on with for so long. */
  reapPartials(olderThanMs: number, now: number): Promise<number> {
    return this.#partials.reap(olderThanMs, now)
  }

  /** Whether a file can be created: what readiness depends on. */
  async probe(): Promise<void> {
    await writeWhole(`${this.layout.trash}/probe`, '', { scratch: this.layout.trash, durable: false })
  }

  close(): void {
    this.#unlock()
  }

  async #sizeOpen(file: SharedFile): Promise<number> {
    try {
      return await file.size()
    } catch (error) {
      file.release()
      throw error
    }
  }

  #count(bytes: number): void {
    this.#metrics.storeBytes.inc({ area: 'cached' }, bytes)
    this.#metrics.storeObjects.inc({ area: 'cached' })
  }
}
