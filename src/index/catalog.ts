/** What repositories hold: the index's quick answer, or the store's records where it does not know. */
import type { Digest } from '../oci/digest.ts'
import type { Descriptor } from '../oci/manifest.ts'
import type { Tag } from '../oci/name.ts'
import type { Clock } from '../runtime/clock.ts'
import type { RepositoryKey } from '../store/layout.ts'
import type { StoredRecord } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import type { Answer, BlobEntry, Index, ManifestEntry, TagEntry } from './index.ts'
import { blobEntry, blobRecord, manifestEntry, manifestRecord, tagEntry, tagRecord } from './records.ts'

/** What upstreams gave can be asked again: its records need not survive a power cut. */
const cached = { durable: false }

export class Catalog {
  readonly index: Index
  readonly #store: Store
  readonly #clock: Clock
  readonly #strict: boolean

  /** @param strict a record that cannot be read is an error; else it counts as absent, and a pull goes on without it */
  constructor(index: Index, store: Store, clock: Clock, { strict = false } = {}) {
    this.index = index
    this.#store = store
    this.#clock = clock
    this.#strict = strict
  }

  async tag(key: RepositoryKey, tag: Tag): Promise<TagEntry | undefined> {
    return settle(await this.index.tag(key, tag), async () => {
      const record = await this.#record(this.#store.layout.tag(key, tag))
      const entry = record && tagEntry(record)
      if (entry) await this.index.putTag(key, tag, entry)
      return entry
    })
  }

  /** The tag points at a digest that it did not point at before. */
  async moveTag(key: RepositoryKey, tag: Tag, entry: TagEntry): Promise<void> {
    await this.index.putTag(key, tag, entry)
    await this.#store.records.save(this.#store.layout.tag(key, tag), tagRecord(entry), cached)
  }

  /** Upstream was asked about the tag and it did not move. Remembered by the index alone. */
  confirmTag(key: RepositoryKey, tag: Tag, entry: TagEntry): Promise<void> {
    return this.index.putTag(key, tag, entry)
  }

  async dropTag(key: RepositoryKey, tag: Tag): Promise<void> {
    await this.#store.records.remove(this.#store.layout.tag(key, tag))
    await this.index.dropTag(key, tag)
  }

  async manifest(key: RepositoryKey, digest: Digest): Promise<ManifestEntry | undefined> {
    return settle(await this.index.manifest(key, digest), async () => {
      const record = await this.#record(this.#store.layout.manifest(key, digest))
      const entry = record && manifestEntry(record)
      if (entry) await this.index.putManifest(key, digest, entry)
      return entry
    })
  }

  /** @param children what the manifest lists */
  async putManifest(
    key: RepositoryKey,
    digest: Digest,
    entry: ManifestEntry,
    children: readonly Descriptor[],
  ): Promise<void> {
    await Promise.all([this.index.putChildren(key, children), this.index.putManifest(key, digest, entry)]) // known at once
    const record = manifestRecord(entry, this.#clock.now())
    await this.#store.records.save(this.#store.layout.manifest(key, digest), record, cached)
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
    const record = blobRecord(entry, this.#clock.now())
    await this.#store.records.save(this.#store.layout.blob(key, digest), record, cached)
  }

  async #record(path: string): Promise<StoredRecord | undefined> {
    return this.#strict ? (await this.#store.records.read(path))?.record : this.#store.record(path)
  }
}

/** The index's answer; from the records where it has none. */
function settle<T>(
  answer: Answer<T>,
  fromRecords: () => Promise<T | undefined>,
): Promise<T | undefined> | T | undefined {
  if (answer.answer === 'unknown') return fromRecords()
  return answer.answer === 'present' ? answer.value : undefined
}
