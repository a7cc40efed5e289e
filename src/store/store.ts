/** The store: bytes by digest and the records about them, on local disk. */
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Digest } from '../oci/digest.ts'
import { Cached } from './cached.ts'
import { Contents, type ReadableContents, type StoredBlob } from './contents.ts'
import { WholeFiles } from './durable.ts'
import { Layout } from './layout.ts'
import { openLayout } from './open.ts'
import type { Partial } from './partial.ts'
import { Partials } from './partials.ts'
import { Pushed } from './pushed.ts'
import { Records, type StoredRecord } from './records.ts'
import { Unreadable } from './unreadable.ts'
import { UploadFiles } from './upload.ts'

export interface StoreDeps {
  readonly log: Logger
  readonly metrics: Metrics
  /** Told when cached bytes turned out to be damaged and are gone, or count as gone. */
  readonly dropped?: (digest: Digest) => void
}

/** @throws StoreUnusable */
export async function openStore(root: string, deps: StoreDeps): Promise<Store> {
  const { layout, unlock } = await openLayout(root)
  return new Store(layout, unlock, deps)
}

/** To read beside the process that owns the store; nothing is looked at or made before it is asked for. */
export function openStoreReader(root: string, deps: Pick<StoreDeps, 'log' | 'metrics'>): Store {
  return new Store(new Layout(root), () => {}, deps)
}

export class Store implements ReadableContents {
  readonly layout: Layout
  readonly records: Records
  /** What local repositories hold. */
  readonly pushed: Pushed
  readonly uploads: UploadFiles
  readonly #files: WholeFiles
  readonly #cached: Cached
  readonly #pushedBytes: Contents
  readonly #partials: Partials
  readonly #unlock: () => void
  readonly #dropped: (digest: Digest) => void
  readonly #unreadable: Unreadable

  constructor(layout: Layout, unlock: () => void, { log, metrics, dropped = () => {} }: StoreDeps) {
    const files = new WholeFiles(layout)
    const contentsOf = (area: 'cached' | 'pushed') =>
      new Contents({ files, metrics, area, pathOf: digest => layout[area](digest) })
    this.layout = layout
    this.#files = files
    this.#unlock = unlock
    this.#dropped = dropped
    this.#unreadable = new Unreadable(log)
    this.#cached = new Cached(contentsOf('cached'), this.#unreadable)
    this.#pushedBytes = contentsOf('pushed')
    this.records = new Records(files, log)
    this.pushed = new Pushed({ files, contents: this.#pushedBytes, cached: this.#cached })
    this.uploads = new UploadFiles({ layout, pushed: this.#pushedBytes })
    this.#partials = new Partials(layout, { files, cached: this.#cached })
  }

  /** Undefined when the bytes are not here, or cannot be read: a cache problem fails no pull. An empty file where bytes are expected is the caller's to notice by `size`. */
  async open(digest: Digest): Promise<StoredBlob | undefined> {
    return (await this.#cached.open(digest)) ?? this.#ifPushed(digest, from => from.open(digest))
  }

  /** Bytes; undefined when they are not here. */
  async size(digest: Digest): Promise<number | undefined> {
    return (await this.#cached.size(digest)) ?? this.#ifPushed(digest, from => from.size(digest))
  }

  /** The whole content, for manifests. */
  async read(digest: Digest): Promise<Buffer | undefined> {
    return (await this.#cached.read(digest)) ?? this.#ifPushed(digest, from => from.read(digest))
  }

  /** Durable when it resolves. The caller has verified the digest. */
  put(digest: Digest, content: Buffer): Promise<void> {
    return this.#cached.put(digest, content)
  }

  /** Deletes the cached bytes; who reads them goes on reading. */
  async drop(digest: Digest): Promise<void> {
    await this.#cached.drop(digest)
    this.#dropped(digest)
  }

  /** Another process dropped the cached bytes. */
  forget(digest: Digest): Promise<void> {
    return this.#cached.forget(digest)
  }

  /** A file to fill for this digest; what an earlier flight left behind is its beginning. */
  begin(digest: Digest): Promise<Partial> {
    return this.#partials.begin(digest)
  }

  /** Durable under its digest's name when it resolves. The caller has verified the digest. */
  commit(partial: Partial): Promise<void> {
    return partial.commit()
  }

  /** Deletes partials that no flight went on with for so long, and other leavings of killed processes. */
  reapPartials(olderThanMs: number, now: number): Promise<number> {
    return this.#partials.reap(olderThanMs, now)
  }

  /** Whether a file can be created: what readiness depends on. */
  async probe(): Promise<void> {
    await this.#files.write(`${this.layout.trash}/probe`, '', { durable: false })
  }

  close(): void {
    this.#cached.close()
    this.#pushedBytes.close()
    this.#files.folders.close()
    this.#unlock()
  }

  /** A record of what an upstream gave. `records.read` is for those who must know why there is none. */
  record(path: string): Promise<StoredRecord | undefined> {
    return this.#unreadable.orAbsent(path, async () => (await this.records.read(path))?.record)
  }

  #ifPushed<T>(
    digest: Digest,
    read: (pushed: ReadableContents) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    return this.#unreadable.orAbsent(this.layout.pushed(digest), () => read(this.#pushedBytes))
  }
}
