/** The records of local repositories, and the index's entries after them. Who calls holds the record's lock. */
import type { Logger } from '../../observe/log.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Descriptor } from '../../oci/manifest.ts'
import type { Tag } from '../../oci/name.ts'
import type { RepositoryKey } from '../../store/layout.ts'
import type { StoredRecord } from '../../store/records.ts'
import type { Store } from '../../store/store.ts'
import type { BlobEntry, Index, ManifestEntry, TagEntry } from '../index.ts'
import { wasLately } from '../noted-times.ts'
import {
  blobEntry,
  blobRecord,
  childrenOf,
  linkTime,
  manifestEntry,
  manifestRecord,
  referrerEntry,
  referrerRecord,
  tagEntry,
  tagRecord,
} from '../records.ts'

export interface LocalRecordsDeps {
  readonly index: Index
  readonly store: Store
  readonly log: Logger
}

/** Nobody else has what was pushed: what was answered has to survive a power cut, and so has what was taken away. */
const durable = { durable: true }

/**
 * `read…`: what the record says, and the index after it. An error of the disk is an error, a damaged record is none.
 * `save…` and `remove…` leave the index as it is.
 */
export class LocalRecords {
  readonly #deps: LocalRecordsDeps

  constructor(deps: LocalRecordsDeps) {
    this.#deps = deps
  }

  async readTag(key: RepositoryKey, tag: Tag): Promise<TagEntry | undefined> {
    const { index, store } = this.#deps
    const entry = await this.#read(store.layout.tag(key, tag), tagEntry)
    if (entry) await index.putTag(key, tag, entry)
    else if ((await index.tag(key, tag)).answer === 'present') await index.dropTag(key, tag)
    return entry
  }

  async readManifest(key: RepositoryKey, digest: Digest): Promise<ManifestEntry | undefined> {
    const { index, store } = this.#deps
    const entry = await this.#read(store.layout.manifest(key, digest), manifestEntry)
    if (entry) {
      const children = childrenOf(await store.pushed.read(digest))
      await Promise.all([index.putChildren(key, digest, children), index.putManifest(key, digest, entry)])
    } else if ((await index.manifest(key, digest)).answer === 'present') await index.dropManifest(key, digest)
    return entry
  }

  async readBlob(key: RepositoryKey, digest: Digest): Promise<BlobEntry | undefined> {
    const { index, store } = this.#deps
    const entry = await this.#read(store.layout.blob(key, digest), blobEntry)
    if (entry) await index.putBlob(key, digest, entry)
    else if ((await index.blob(key, digest)).answer === 'present') await index.dropBlob(key, digest)
    return entry
  }

  async readReferrer(key: RepositoryKey, subject: Digest, digest: Digest): Promise<void> {
    const { index, store } = this.#deps
    const descriptor = await this.#read(store.layout.referrer(key, subject, digest), referrerEntry)
    if (descriptor) await index.putReferrer(key, subject, descriptor)
    else await index.dropReferrer(key, subject, digest)
  }

  /** When the link was written, or the blob last promised to a client; undefined when there is none that can be read. */
  blobAt(key: RepositoryKey, digest: Digest): Promise<number | undefined> {
    return this.#read(this.#deps.store.layout.blob(key, digest), linkTime)
  }

  /** Resolves with the time of the link, which is then less than an hour ago; undefined when there is none. */
  async renewBlob(key: RepositoryKey, digest: Digest, now: number): Promise<number | undefined> {
    const entry = await this.readBlob(key, digest)
    const at = entry && (await this.blobAt(key, digest))
    if (!entry || wasLately(at, now)) return at
    await this.saveBlob(key, digest, { entry, at: now, after: undefined })
    return now
  }

  /** Its time without a tag begins anew. Resolves with now; undefined when there is none. */
  async renewManifest(key: RepositoryKey, digest: Digest, now: number): Promise<number | undefined> {
    return (await this.noteUntagged(key, digest, undefined)) ? now : undefined
  }

  /**
   * Resolves with whether there is such a record.
   *
   * @param since undefined: it is used again
   */
  async noteUntagged(key: RepositoryKey, digest: Digest, since: number | undefined): Promise<boolean> {
    const { store } = this.#deps
    const path = store.layout.manifest(key, digest)
    const found = await store.records.read(path)
    if (!found || found.record.untaggedAt === since) return found !== undefined
    const { untaggedAt: _, ...record } = found.record
    await this.#save(path, { ...record, ...(since === undefined ? {} : { untaggedAt: since }) })
    return true
  }

  saveTag(key: RepositoryKey, tag: Tag, entry: TagEntry): Promise<void> {
    return this.#save(this.#deps.store.layout.tag(key, tag), tagRecord(entry, 'push'))
  }

  /** @param after the record appears when this has resolved */
  saveManifest(
    key: RepositoryKey,
    digest: Digest,
    entry: ManifestEntry,
    after?: Promise<void>,
  ): Promise<void> {
    return this.#save(this.#deps.store.layout.manifest(key, digest), manifestRecord(entry, 'push'), after)
  }

  saveReferrer(key: RepositoryKey, subject: Digest, referrer: Descriptor): Promise<void> {
    const path = this.#deps.store.layout.referrer(key, subject, referrer.digest)
    return this.#save(path, referrerRecord(referrer))
  }

  saveBlob(
    key: RepositoryKey,
    digest: Digest,
    { entry, at, after }: { entry: BlobEntry; at: number; after: Promise<void> | undefined },
  ): Promise<void> {
    return this.#save(this.#deps.store.layout.blob(key, digest), blobRecord(entry, at, 'push'), after)
  }

  removeTag(key: RepositoryKey, tag: Tag): Promise<void> {
    return this.#remove(this.#deps.store.layout.tag(key, tag))
  }

  removeManifest(key: RepositoryKey, digest: Digest): Promise<void> {
    return this.#remove(this.#deps.store.layout.manifest(key, digest))
  }

  removeReferrer(key: RepositoryKey, subject: Digest, digest: Digest): Promise<void> {
    return this.#remove(this.#deps.store.layout.referrer(key, subject, digest))
  }

  removeBlob(key: RepositoryKey, digest: Digest): Promise<void> {
    return this.#remove(this.#deps.store.layout.blob(key, digest))
  }

  #save(path: string, record: StoredRecord, after?: Promise<void>): Promise<void> {
    return this.#deps.store.records.save(path, record, { ...durable, after })
  }

  #remove(path: string): Promise<void> {
    return this.#deps.store.records.remove(path, durable)
  }

  async #read<T>(path: string, parse: (record: StoredRecord) => T | undefined): Promise<T | undefined> {
    const { store, log } = this.#deps
    const found = await store.records.read(path)
    const entry = found && parse(found.record)
    if (found && entry === undefined) log.warn({ path }, 'record does not say enough: treated as absent')
    return entry
  }
}
