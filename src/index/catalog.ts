/** What repositories hold: the index's quick answer, or the store's records where it does not know. */
import type { Digest } from '../oci/digest.ts'
import type { Descriptor } from '../oci/manifest.ts'
import type { Tag } from '../oci/name.ts'
import type { Clock } from '../runtime/clock.ts'
import type { RepositoryKey } from '../store/layout.ts'
import type { StoredRecord } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import { settle } from './answer.ts'
import type { BlobEntry, Changed, Index, ManifestEntry, TagEntry } from './index.ts'
import { wasLately } from './noted-times.ts'
import { type Pulled, PullNotes } from './pull-notes.ts'
import {
  blobEntry,
  blobRecord,
  childrenOf,
  manifestEntry,
  manifestRecord,
  tagEntry,
  tagRecord,
} from './records.ts'

/** What upstreams gave can be asked again: its records need not survive a power cut. */
const cached = { durable: false }

/** When it came and was asked for is kept here. */
export type NewManifest = Omit<ManifestEntry, 'at' | 'pulledAt'>

export interface CatalogOptions {
  /** A record that cannot be read is an error; else it counts as absent, and a pull goes on without it. */
  readonly strict?: boolean
  readonly changed?: Changed
  /** Told when that of a tag stands in its record too. */
  readonly recorded?: (key: RepositoryKey) => void
  /** Told of a pull time that could not be kept. */
  readonly failed?: (error: unknown) => void
}

/** What the index knows is written down too. */
export type Recording = () => Promise<void>

export class Catalog {
  readonly index: Index
  readonly #store: Store
  readonly #clock: Clock
  readonly #strict: boolean
  readonly #changed: Changed
  readonly #recorded: (key: RepositoryKey) => void
  readonly #pulls: PullNotes

  constructor(
    index: Index,
    store: Store,
    clock: Clock,
    { strict = false, changed = () => {}, recorded = () => {}, failed = () => {} }: CatalogOptions = {},
  ) {
    this.index = index
    this.#store = store
    this.#clock = clock
    this.#strict = strict
    this.#changed = changed
    this.#recorded = recorded
    this.#pulls = new PullNotes({ clock, write: pull => this.#writePull(pull), failed })
  }

  async tag(key: RepositoryKey, tag: Tag): Promise<TagEntry | undefined> {
    return settle(await this.index.tag(key, tag), async () => {
      const record = await this.#record(this.#store.layout.tag(key, tag))
      const entry = record && tagEntry(record)
      const moved = await this.index.tag(key, tag) // while its record was read
      if (moved.answer !== 'unknown') return settle(moved, async () => undefined)
      if (entry) await this.index.putTag(key, tag, entry)
      return entry
    })
  }

  /** The tag points at a digest that it did not point at before. Resolves, when the index knows it, with what writes the record. */
  async moveTag(key: RepositoryKey, tag: Tag, entry: TagEntry): Promise<Recording> {
    await this.index.putTag(key, tag, entry)
    this.#tell(key)
    return async () => {
      await this.#store.records.save(this.#store.layout.tag(key, tag), tagRecord(entry, 'upstream'), cached)
      this.#recorded(key)
    }
  }

  /** Upstream was asked about the tag and it did not move. Remembered by the index alone. */
  confirmTag(key: RepositoryKey, tag: Tag, entry: TagEntry): Promise<void> {
    return this.index.putTag(key, tag, entry)
  }

  async dropTag(key: RepositoryKey, tag: Tag): Promise<void> {
    try {
      await this.#store.records.remove(this.#store.layout.tag(key, tag))
      await this.index.dropTag(key, tag)
    } finally {
      this.#tell(key)
      this.#recorded(key)
    }
  }

  async manifest(key: RepositoryKey, digest: Digest): Promise<ManifestEntry | undefined> {
    return settle(await this.index.manifest(key, digest), async () => {
      const record = await this.#record(this.#store.layout.manifest(key, digest))
      const entry = record && manifestEntry(record)
      if (!entry) return undefined
      await this.#index(key, digest, entry, childrenOf(await this.#store.read(digest)))
      return entry
    })
  }

  /** As `moveTag`. @param children what the manifest lists */
  async putManifest(
    key: RepositoryKey,
    digest: Digest,
    entry: NewManifest,
    children: readonly Descriptor[],
  ): Promise<Recording> {
    const known = await this.index.manifest(key, digest)
    const { at, pulledAt } =
      known.answer === 'present' ? known.value : { at: this.#clock.now(), pulledAt: undefined }
    const whole = { ...entry, at, pulledAt }
    await this.#index(key, digest, whole, children)
    return () => this.#saveManifest(key, digest, whole)
  }

  /**
   * The manifest was asked for: kept once an hour, behind the answer.
   *
   * @param pulledAt when it was asked for before, as far as that is known
   */
  notePull(key: RepositoryKey, digest: Digest, pulledAt?: number): void {
    this.#pulls.note(key, digest, pulledAt)
  }

  /** Resolves when what goes on behind answers has ended. */
  stop(): Promise<void> {
    return this.#pulls.stop()
  }

  async blob(key: RepositoryKey, digest: Digest): Promise<BlobEntry | undefined> {
    return settle(await this.index.blob(key, digest), async () => {
      const record = await this.#record(this.#store.layout.blob(key, digest))
      const entry = record && blobEntry(record)
      if (entry) await this.index.putBlob(key, digest, entry)
      return entry
    })
  }

  async putBlob(key: RepositoryKey, digest: Digest, entry: BlobEntry): Promise<void> {
    await this.index.putBlob(key, digest, entry)
    const record = blobRecord(entry, this.#clock.now(), 'upstream')
    await this.#store.records.save(this.#store.layout.blob(key, digest), record, cached)
  }

  /** What it lists is forgotten with it where its bytes are still here to tell. */
  async dropManifest(key: RepositoryKey, digest: Digest): Promise<void> {
    const children = childrenOf(await this.#store.read(digest))
    await this.#store.records.remove(this.#store.layout.manifest(key, digest))
    await this.index.dropManifest(key, digest)
    await this.index.dropChildren(key, digest, children)
  }

  async dropBlob(key: RepositoryKey, digest: Digest): Promise<void> {
    await this.#store.records.remove(this.#store.layout.blob(key, digest))
    await this.index.dropBlob(key, digest)
  }

  /** Nobody waits: a tag of an upstream may be as old as the policy has it anyway. */
  #tell(key: RepositoryKey): void {
    const telling = async () => this.#changed(key)
    telling().catch(() => {})
  }

  async #writePull({ key, digest, at }: Pulled): Promise<void> {
    const entry = await this.manifest(key, digest)
    if (!entry) return
    // What the client has and does not ask for is in use too.
    this.#store.use(childrenOf(await this.#store.read(digest)).map(child => child.digest))
    if (wasLately(entry.pulledAt, at)) return
    const pulled = { ...entry, pulledAt: at }
    await this.index.putManifest(key, digest, pulled)
    await this.#saveManifest(key, digest, pulled)
  }

  #saveManifest(key: RepositoryKey, digest: Digest, entry: ManifestEntry): Promise<void> {
    const path = this.#store.layout.manifest(key, digest)
    return this.#store.records.save(path, manifestRecord(entry, 'upstream'), cached)
  }

  async #index(
    key: RepositoryKey,
    digest: Digest,
    entry: ManifestEntry,
    children: readonly Descriptor[],
  ): Promise<void> {
    await Promise.all([
      this.index.putChildren(key, digest, children),
      this.index.putManifest(key, digest, entry),
    ])
  }

  async #record(path: string): Promise<StoredRecord | undefined> {
    return this.#strict ? (await this.#store.records.read(path))?.record : this.#store.record(path)
  }
}
