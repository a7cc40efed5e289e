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
import { Records, type StoredRecord } from './records.ts'
import { Unreadable } from './unreadable.ts'

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
  readonly #unreadable: Unreadable
  /** What was dropped and is still there, on a disk that may not be written: it counts as absent until it is replaced. */
  readonly #undeletable = new Set<string>()

  constructor(layout: Layout, unlock: () => void, { log, metrics }: { log: Logger; metrics: Metrics }) {
    this.layout = layout
    this.records = new Records(layout, log)
    this.#partials = new Partials(layout)
    this.#unlock = unlock
    this.#metrics = metrics
    this.#unreadable = new Unreadable(log)
  }

  /** Undefined when the bytes are not here, or cannot be read: a cache problem fails no pull. An empty file where bytes are expected is the caller's to notice by `size`. */
  async open(digest: Digest): Promise<StoredBlob | undefined> {
    return this.#ifReadable(this.layout.cached(digest), async path => {
      const file = await SharedFile.open(path, 'r')
      return { file, size: await this.#sizeOpen(file) }
    })
  }

  /** Bytes; undefined when they are not here. */
  async size(digest: Digest): Promise<number | undefined> {
    return this.#ifReadable(this.layout.cached(digest), async path => (await stat(path)).size)
  }

  /** The whole content, for manifests. */
  async read(digest: Digest): Promise<Buffer | undefined> {
    return this.#ifReadable(this.layout.cached(digest), path => readFile(path))
  }

  /** Durable when it resolves. The caller has verified the digest. */
  async put(digest: Digest, content: Buffer): Promise<void> {
    await writeWhole(this.layout.cached(digest), content, { scratch: this.layout.trash, durable: true })
    this.#undeletable.delete(this.layout.cached(digest))
    this.#count(content.length)
  }

  /** Deletes the bytes; who reads them goes on reading. */
  async drop(digest: Digest): Promise<void> {
    const path = this.layout.cached(digest)
    try {
      await rm(path, { force: true })
    } catch (error) {
      this.#undeletable.add(path)
      this.#unreadable.report(path, error)
    }
  }

  /** A file to fill for this digest; what an earlier flight left behind is its beginning. */
  begin(digest: Digest): Promise<Partial> {
    return this.#partials.begin(digest)
  }

  /** Durable under its digest's name when it resolves. The caller has verified the digest. */
  async commit(partial: Partial): Promise<void> {
    await partial.commit()
    this.#undeletable.delete(this.layout.cached(partial.digest))
    this.#count(partial.written)
  }

  /** Deletes partials that no flight went on with for so long, and other leavings of killed processes. */
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

  /** A record of what an upstream gave. `records.read` is for those who must know why there is none. */
  async record(path: string): Promise<StoredRecord | undefined> {
    return this.#ifReadable(path, async () => (await this.records.read(path))?.record)
  }

  async #ifReadable<T>(path: string, read: (path: string) => Promise<T>): Promise<T | undefined> {
    if (this.#undeletable.has(path)) return undefined
    try {
      return await read(path)
    } catch (error) {
      return isCode(error, 'ENOENT') ? undefined : this.#unreadable.report(path, error)
    }
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
