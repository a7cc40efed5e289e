/** The store: bytes by digest and the records about them, on local disk. */
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Digest } from '../oci/digest.ts'
import { type Clock, systemClock } from '../runtime/clock.ts'
import { Cached } from './cached.ts'
import { condemn } from './condemn.ts'
import { Contents, type ReadableContents, type StoredBlob } from './contents.ts'
import { Doubts } from './doubts.ts'
import { Accounts, type CapacityOptions } from './eviction/accounts.ts'
import type { Capacity } from './eviction/capacity.ts'
import { LeftFiles } from './eviction/left-files.ts'
import { Uses } from './eviction/uses.ts'
import { WholeFiles } from './files/durable.ts'
import { Life, type Span } from './files/life.ts'
import { diskNames, type RecordNames } from './files/names.ts'
import { Unreadable } from './files/unreadable.ts'
import { Layout } from './layout.ts'
import { openLayout, StoreUnusable } from './open.ts'
import { type Partial, removePartial } from './partial.ts'
import { type Beginning, Partials } from './partials.ts'
import { Pushed, type PushedBytes } from './pushed.ts'
import { DiskRecords, type Records, type StoredRecord } from './records.ts'
import { Shared, type SharedOptions } from './shared/shared.ts'
import type { UploadsAway } from './shared/uploads-away.ts'
import { UploadFiles } from './upload.ts'

/** @param isGone the disk has let the file be deleted */
export type Dropped = (digest: Digest, isGone: boolean) => void

export interface StoreDeps {
  readonly log: Logger
  readonly metrics: Metrics
  readonly clock?: Clock
  /** Told when cached bytes turned out to be damaged and are gone, or count as gone. */
  readonly dropped?: Dropped
  /** How much may be cached; without it: as much as the disk takes. */
  readonly capacity?: CapacityOptions
  /** Told, in place of the accounts of another process, which cached bytes were asked for. */
  readonly used?: (digests: readonly Digest[]) => void
  /** An object store that the disk is the cache of. */
  readonly shared?: SharedOptions | undefined
}

/** @throws StoreUnusable */
export async function openStore(root: string, deps: StoreDeps): Promise<Store> {
  const { layout, unlock } = await openLayout(root)
  const life = await Life.begin(layout.life, deps.log)
  if (life.doubtful) {
    const since = new Date(life.doubtful.from).toISOString()
    deps.log.warn({ since }, 'the store was not closed: what was written last is checked before it is given')
  }
  const close = () => {
    life.end()
    unlock()
  }
  const store = new Store(layout, deps, { close, isOwner: true, doubtful: life.doubtful })
  if (deps.shared) await assertNoneHere(store)
  await store.findLeft()
  return store
}

/** What was pushed onto the disk would not be seen any more. @throws StoreUnusable, with the store closed */
async function assertNoneHere(store: Store): Promise<void> {
  for await (const _ of diskNames.in(store.layout.localNames, 1)) {
    store.close()
    throw new StoreUnusable(
      `the store at ${store.layout.root} holds what was pushed to it, which with store.s3 is kept in the bucket: give store.path another folder, and copy the images over from a server that still serves this one`,
    )
  }
}

/** To read beside the process that owns the store; nothing is looked at or made before it is asked for. */
export function openStoreReader(
  root: string,
  { doubtful, ...deps }: Omit<StoreDeps, 'capacity'> & { readonly doubtful?: Span | undefined },
): Store {
  return new Store(new Layout(root), deps, { close: () => {}, isOwner: false, doubtful })
}

interface Opened {
  readonly close: () => void
  /** May put away what is damaged. */
  readonly isOwner: boolean
  readonly doubtful: Span | undefined
}

export class Store implements ReadableContents {
  readonly layout: Layout
  readonly records: Records
  /** What lies in the folders of the records. */
  readonly names: RecordNames
  /** What local repositories hold. */
  readonly pushed: PushedBytes
  readonly uploads: UploadFiles
  /** Upload sessions that an owner of local names left to the next one; undefined: they stay on the disk. */
  readonly uploadsAway: UploadsAway | undefined
  /** What other replicas have too; undefined: the disk is all there is. */
  readonly shared: Shared | undefined
  /** When what was written is not surely on the disk: it is looked at before it is given. Undefined: all is. */
  readonly doubtful: Span | undefined
  readonly #files: WholeFiles
  readonly #cached: Cached
  readonly #pushedBytes: Contents
  readonly #partials: Partials
  readonly #accounts: Accounts | undefined
  readonly #uses: Uses
  readonly #close: () => void
  readonly #dropped: Dropped
  readonly #unreadable: Unreadable
  readonly #metrics: Metrics

  constructor(layout: Layout, deps: StoreDeps, { close, isOwner, doubtful }: Opened) {
    const { log, metrics, clock = systemClock, dropped = () => {}, used = () => {} } = deps
    const files = new WholeFiles(layout)
    const putAway = (digest: Digest, inode: number) => condemn(this, { digest, inode, log, metrics })
    const doubts = doubtful && new Doubts({ span: doubtful, condemn: isOwner ? putAway : async () => {} })
    const contentsOf = (area: 'cached' | 'pushed') =>
      new Contents({ files, metrics, area, pathOf: digest => layout[area](digest), doubts })
    this.layout = layout
    this.#metrics = metrics
    this.doubtful = doubtful
    this.#files = files
    this.#close = () => {
      doubts?.close()
      close()
    }
    this.#dropped = dropped
    this.#unreadable = new Unreadable(log)
    const contents = contentsOf('cached')
    const left = new LeftFiles(removePartial)
    this.#accounts =
      deps.capacity && new Accounts({ ...deps, ...deps.capacity, clock, layout, contents, left, dropped })
    this.#uses = this.#accounts?.uses ?? new Uses(clock, used)
    const { capacity } = this
    this.#cached = new Cached({ contents, unreadable: this.#unreadable, capacity, uses: this.#uses })
    this.#pushedBytes = contentsOf('pushed')
    const records = new DiskRecords(files, log)
    const open = (digest: Digest) => contents.open(digest)
    this.shared =
      deps.shared &&
      new Shared({ ...deps.shared, layout, log, clock, records, cached: this.#cached, capacity, open })
    this.records = this.shared?.records ?? records
    this.names = this.shared?.names ?? diskNames
    const pushed = new Pushed({
      files,
      contents: this.#pushedBytes,
      cached: this.#cached,
      folder: layout.pushedBytes,
    })
    this.pushed = this.shared?.pushed ?? pushed
    this.uploads = new UploadFiles({ layout, pushed: this.pushed })
    this.uploadsAway = this.shared?.uploadsAway(this.uploads)
    this.#partials = new Partials(layout, { files, cached: this.#cached, capacity, left })
  }

  /** Undefined when the bytes are not here, or cannot be read: a cache problem fails no pull. An empty file where bytes are expected is the caller's to notice by `size`. */
  async open(digest: Digest): Promise<StoredBlob | undefined> {
    return (await this.#cached.open(digest)) ?? this.#ifPushed(digest, from => from.open(digest))
  }

  /** Bytes; undefined when they are neither here nor, as far as that is soon known, in the object store. */
  async size(digest: Digest): Promise<number | undefined> {
    return (await this.sizeHere(digest)) ?? this.shared?.bytes.cachedSize(digest)
  }

  /** Bytes on the disk; undefined when there are none. */
  async sizeHere(digest: Digest): Promise<number | undefined> {
    return (await this.#cached.size(digest)) ?? this.#ifPushed(digest, from => from.size(digest))
  }

  /** The whole content, for manifests. */
  async read(digest: Digest): Promise<Buffer | undefined> {
    const here =
      (await this.#cached.read(digest)) ?? (await this.#ifPushed(digest, from => from.read(digest)))
    if (here || !this.shared) return here
    const shared = await this.shared.bytes.readCached(digest)
    if (shared) await this.#cached.put(digest, shared, '').catch(() => false) // read again from there
    return shared
  }

  /**
   * Durable when it resolves with true; false when there is no room. The caller has verified the digest.
   *
   * @param owner the registry that it was fetched from
   */
  async put(digest: Digest, content: Buffer, owner = ''): Promise<boolean> {
    const isHere = await this.#cached.put(digest, content, owner)
    if (isHere) this.shared?.bytes.offer(digest)
    return isHere
  }

  /** Deletes the cached bytes; who reads them goes on reading. */
  async drop(digest: Digest): Promise<void> {
    const isGone = await this.#cached.drop(digest)
    this.#dropped(digest, isGone)
  }

  /** Another process dropped the cached bytes. @param isGone the file is deleted; else it counts as absent */
  forget(digest: Digest, isGone: boolean): void {
    this.#cached.forget(digest, isGone)
  }

  /** A file to fill for this digest; what an earlier flight left behind is its beginning. @throws NoRoom */
  begin(digest: Digest, beginning: Beginning = { owner: '', expectedSize: undefined }): Promise<Partial> {
    return this.#partials.begin(digest, beginning)
  }

  /** Durable under its digest's name when it resolves. The caller has verified the digest. */
  commit(partial: Partial): Promise<void> {
    return partial.commit()
  }

  /** Deletes partials that no flight went on with for so long, and other leavings of killed processes. */
  reapPartials(olderThanMs: number, now: number): Promise<number> {
    return this.#partials.reap(olderThanMs, now)
  }

  /** How much may be cached, and what goes when it is too much; undefined: nothing ever does. */
  get capacity(): Capacity | undefined {
    return this.#accounts?.capacity
  }

  /** Takes in the few partials that an earlier process left behind: they count before anything else is written. */
  async findLeft(): Promise<void> {
    await this.#unreadable.orAbsent(this.layout.partials, () => this.#partials.findLeft())
  }

  /** Looks for what is not known to be cached. Resolves when all of it is, or at the signal. */
  async takeStock(signal: AbortSignal): Promise<void> {
    await this.#accounts?.complete(signal)
  }

  /** They count as asked for, those of them that are cached. */
  use(digests: Iterable<Digest>): void {
    for (const digest of digests) this.#uses.note(digest)
  }

  /** Sets the gauges of what is here. */
  measure(): void {
    this.#accounts?.measure()
    if (this.shared) this.#metrics.bucketUp.set({ bucket: this.shared.name }, this.shared.isWorking ? 1 : 0)
  }

  /** Whether a file can be created: what readiness depends on. */
  async probe(): Promise<void> {
    await this.#files.write(`${this.layout.trash}/probe`, '', { durable: false })
  }

  close(): void {
    this.#uses.flush()
    this.shared?.close()
    this.#accounts?.close()
    this.#cached.close()
    this.#pushedBytes.close()
    this.#files.folders.close()
    this.#close()
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
