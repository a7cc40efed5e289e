/** The store over an object store: which part of it lies where. */
import type { Logger } from '../../observe/log.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Cached } from '../cached.ts'
import type { StoredBlob } from '../contents.ts'
import type { Capacity } from '../eviction/capacity.ts'
import { diskNames, type RecordNames } from '../files/names.ts'
import type { Layout } from '../layout.ts'
import type { Objects } from '../objects.ts'
import type { PushedBytes } from '../pushed.ts'
import type { Records } from '../records.ts'
import type { UploadFiles } from '../upload.ts'
import { Behind } from './behind.ts'
import { SharedBytes } from './bytes.ts'
import { CopiedRecords } from './copied-records.ts'
import { settleBucket } from './format.ts'
import { ObjectNames, RoutedNames } from './names.ts'
import { ObjectRecords } from './object-records.ts'
import { SharedPushed } from './pushed.ts'
import { RoutedRecords } from './routed-records.ts'
import { Tier } from './tier.ts'
import { UploadsAway } from './uploads-away.ts'

/** Uploads behind the answers, of several parts each. */
const uploadsAtOnce = 2
const copiesAtOnce = 8
/** A stop waits no longer. */
const drainMs = 3_000
/** A request that was given up is carried out no later than this, if at all. */
const lateMs = 30_000
/** Of each kind. */
const mostWaiting = 50_000

export interface SharedOptions {
  readonly objects: Objects
  /** What was fetched from upstreams goes there too. */
  readonly keepsCached: boolean
  /** Clients read what has at least so many bytes from the object store themselves; undefined: nothing. */
  readonly linkedFrom?: number | undefined
  /** Who can do without it waits no longer. */
  readonly patienceMs: number
  /** Throws when this process may not write records of local repositories any more. */
  readonly assertOwner?: () => void
}

export interface SharedDeps extends SharedOptions {
  readonly layout: Layout
  readonly log: Logger
  readonly clock: Clock
  /** Of the disk. */
  readonly records: Records
  readonly cached: Cached
  readonly capacity: Capacity | undefined
  /** A cached file, which does not count as asked for by that. */
  readonly open: (digest: Digest) => Promise<StoredBlob | undefined>
}

export class Shared {
  readonly records: Records
  readonly names: RecordNames
  readonly pushed: PushedBytes
  readonly bytes: SharedBytes
  readonly #layout: Layout
  readonly #assertOwner: () => void
  readonly #tier: Tier
  readonly #localRecords: ObjectRecords
  readonly #behind: readonly Behind[]
  readonly #closing = new AbortController()
  #id: string | undefined

  constructor(deps: SharedDeps) {
    const { objects, keepsCached, assertOwner = () => {}, layout, log, clock, cached, capacity } = deps
    const { patienceMs, linkedFrom } = deps
    const settle = async (bucket: Objects) => {
      this.#id = await settleBucket(bucket, layout)
    }
    const tier = new Tier({ objects, patienceMs, settle, clock, log })
    const uploads = new Behind({ clock, log, atOnce: uploadsAtOnce, max: mostWaiting })
    const copies = new Behind({ clock, log, atOnce: copiesAtOnce, max: mostWaiting })
    this.#tier = tier
    this.#assertOwner = assertOwner
    this.#layout = layout
    this.#behind = [uploads, copies]
    const later = (ms: number) => clock.sleep(ms, this.#closing.signal)
    this.bytes = new SharedBytes({
      tier,
      behind: uploads,
      log,
      keepsCached,
      linkedFrom,
      later,
      open: deps.open,
    })
    const untilOver = () => later(lateMs).catch(() => {}) // closed: nobody brings anything
    this.pushed = new SharedPushed({ bytes: this.bytes, cached, capacity, assertOwner, untilOver })
    const local = new ObjectRecords({ tier, layout, log, assertOwner })
    this.#localRecords = local
    const proxied = keepsCached
      ? new CopiedRecords({ disk: deps.records, tier, behind: copies, layout })
      : deps.records
    const routes = (path: string) => {
      if (`${path}/`.startsWith(`${layout.localNames}/`)) return local
      return path.startsWith(`${layout.names}/`) ? proxied : deps.records
    }
    this.records = new RoutedRecords(routes)
    const localNames = new ObjectNames(tier, layout)
    this.names = new RoutedNames(folder =>
      `${folder}/`.startsWith(`${layout.localNames}/`) ? localNames : diskNames,
    )
  }

  /** For messages. */
  get name(): string {
    return this.#tier.name
  }

  /** Of the bucket, and no other: known once it was usable. */
  get id(): string | undefined {
    return this.#id
  }

  /** Whether writes are conditional: known once the object store was usable. */
  get isConditional(): boolean {
    return this.#tier.isConditional
  }

  /** What it was asked for last it did. */
  get isWorking(): boolean {
    return this.#tier.isWorking
  }

  /** Whether the object store can be used. Rejects with ObjectsFailure. */
  assertUsable(): Promise<void> {
    return this.#tier.use(async () => {})
  }

  /** This process writes local records from here on: what it knew of them may be another's by now. */
  beginTerm(): void {
    this.#localRecords.forget()
  }

  /** Between two owners. @param files those on the disk */
  uploadsAway(files: UploadFiles): UploadsAway {
    return new UploadsAway({ tier: this.#tier, layout: this.#layout, files, assertOwner: this.#assertOwner })
  }

  /** Aborts what earlier processes began to write in parts. */
  reap(olderThanMs: number, now: number): Promise<number> {
    return this.#tier.use(bucket => bucket.reap(olderThanMs, now))
  }

  /** Waits a little for what is on its way into the object store, if that works: a disk may not be seen again. */
  async drain(): Promise<void> {
    if (!this.isWorking) return
    const signal = AbortSignal.timeout(drainMs)
    await Promise.all(this.#behind.map(behind => behind.settled(signal)))
  }

  close(): void {
    this.#closing.abort()
    for (const behind of this.#behind) behind.close()
    this.#tier.close()
  }
}
