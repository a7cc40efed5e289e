/** PROVISIONAL: records only, so that the other parts can run. The index helper replaces this file whole. */
import { readdir } from 'node:fs/promises'
import { type Digest, isDigest } from '../oci/digest.ts'
import { type Descriptor, type ManifestView, viewManifest } from '../oci/manifest.ts'
import { isTag, type Tag } from '../oci/name.ts'
import type { Clock } from '../runtime/clock.ts'
import { localRegistry, type RepositoryKey } from '../store/layout.ts'
import type { StoredRecord } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import type { BlobEntry, Index, ManifestEntry, TagEntry } from './index.ts'
import { blobEntry, blobRecord, manifestEntry, manifestRecord, tagEntry, tagRecord } from './records.ts'

export interface PushedManifest {
  readonly mediaType: string
  readonly size: number
  readonly view: ManifestView
  readonly tags: readonly Tag[]
  readonly requires: readonly Descriptor[]
  readonly allow: (found: {
    current: ReadonlyMap<Tag, TagEntry>
    missing: readonly Descriptor[]
  }) => void
}

const durable = { durable: true }

export class Holdings {
  readonly #store: Store
  readonly #clock: Clock
  #last: Promise<unknown> = Promise.resolve()

  constructor({ store, clock }: { index: Index; store: Store; clock: Clock }) {
    this.#store = store
    this.#clock = clock
  }

  #one<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task, task)
    this.#last = result.catch(() => {})
    return result
  }

  async #read(path: string): Promise<StoredRecord | undefined> {
    return (await this.#store.records.read(path))?.record
  }

  async tag(key: RepositoryKey, tag: Tag): Promise<TagEntry | undefined> {
    const record = await this.#read(this.#store.layout.tag(key, tag))
    return record && tagEntry(record)
  }

  async manifest(key: RepositoryKey, digest: Digest): Promise<ManifestEntry | undefined> {
    const record = await this.#read(this.#store.layout.manifest(key, digest))
    return record && manifestEntry(record)
  }

  async blob(key: RepositoryKey, digest: Digest): Promise<BlobEntry | undefined> {
    const record = await this.#read(this.#store.layout.blob(key, digest))
    return record && blobEntry(record)
  }

  async exists(key: RepositoryKey): Promise<boolean> {
    const { layout } = this.#store
    const all = await Promise.all([layout.tags(key), layout.manifests(key), layout.blobs(key)].map(names))
    return all.some(found => found.length > 0)
  }

  async tags(key: RepositoryKey, { last, limit }: { last: string | undefined; limit: number }): Promise<readonly Tag[]> {
    const all = (await names(this.#store.layout.tags(key))).filter(isTag).sort()
    return all.filter(tag => last === undefined || tag > last).slice(0, limit)
  }

  async referrers(
    key: RepositoryKey,
    subject: Digest,
    { last, limit }: { last: Digest | undefined; limit: number },
  ): Promise<readonly Descriptor[]> {
    const all = digests(await names(this.#store.layout.referrers(key, subject))).sort()
    const page = all.filter(digest => last === undefined || digest > last).slice(0, limit)
    const found = await Promise.all(
      page.map(async digest => (await this.#read(this.#store.layout.referrer(key, subject, digest)))?.descriptor),
    )
    return found.filter(Boolean) as Descriptor[]
  }

  async tagsOf(key: RepositoryKey, digest: Digest): Promise<readonly Tag[]> {
    const found: Tag[] = []
    for (const tag of (await names(this.#store.layout.tags(key))).filter(isTag))
      if ((await this.tag(key, tag))?.digest === digest) found.push(tag)
    return found
  }

  async parentsOf(key: RepositoryKey, child: Digest): Promise<readonly Digest[]> {
    const found: Digest[] = []
    for (const digest of digests(await names(this.#store.layout.manifests(key)))) {
      const body = await this.#store.pushed.read(digest)
      const view = body && viewManifest(body)
      if (view && [...view.blobs, ...view.manifests].some(({ digest: listed }) => listed === child)) found.push(digest)
    }
    return found
  }

  readonly #holders = new Map<Digest, RepositoryKey>()

  async holderOf(digest: Digest): Promise<RepositoryKey | undefined> {
    const key = this.#holders.get(digest)
    return key && (await this.blob(key, digest)) ? key : undefined
  }

  putBlob(key: RepositoryKey, digest: Digest, { size }: { size: number }): Promise<void> {
    return this.#one(async () => {
      this.#holders.set(digest, key)
      const record = { ...blobRecord({ size, isPublic: false }, this.#clock.now()), source: 'push' }
      await this.#store.records.save(this.#store.layout.blob(key, digest), record as StoredRecord, durable)
    })
  }

  dropBlob(key: RepositoryKey, digest: Digest, allow: (parents: readonly Digest[]) => void): Promise<boolean> {
    return this.#one(async () => {
      if (!(await this.blob(key, digest))) return false
      allow(await this.parentsOf(key, digest))
      await this.#store.records.remove(this.#store.layout.blob(key, digest), durable)
      return true
    })
  }

  putManifest(key: RepositoryKey, digest: Digest, pushed: PushedManifest): Promise<void> {
    return this.#one(async () => {
      const { layout, records } = this.#store
      const { mediaType, size, view, tags, requires, allow } = pushed
      const current = new Map<Tag, TagEntry>()
      for (const tag of tags) {
        const entry = await this.tag(key, tag)
        if (entry) current.set(tag, entry)
      }
      const missing: Descriptor[] = []
      for (const child of requires)
        if (!(await this.blob(key, child.digest)) && !(await this.manifest(key, child.digest))) missing.push(child)
      allow({ current, missing })
      const { artifactType, subject, annotations } = view
      const entry = { mediaType, size, artifactType, subject: subject?.digest, annotations, isPublic: false } as ManifestEntry
      await records.save(layout.manifest(key, digest), manifestRecord(entry, this.#clock.now()), durable)
      if (subject) {
        const descriptor = {
          mediaType,
          digest,
          size,
          ...(artifactType ? { artifactType } : {}),
          ...(annotations ? { annotations } : {}),
        }
        await records.save(layout.referrer(key, subject.digest, digest), { v: 1, descriptor }, durable)
      }
      for (const tag of tags) {
        const now = this.#clock.now()
        const moved = { digest, mediaType, size, movedAt: now, checkedAt: now, missingSince: undefined }
        await records.save(layout.tag(key, tag), tagRecord(moved), durable)
      }
    })
  }

  dropTag(key: RepositoryKey, tag: Tag): Promise<boolean> {
    return this.#one(async () => {
      if (!(await this.tag(key, tag))) return false
      await this.#store.records.remove(this.#store.layout.tag(key, tag), durable)
      return true
    })
  }

  dropManifest(key: RepositoryKey, digest: Digest, allow: (tags: readonly Tag[]) => void): Promise<boolean> {
    return this.#one(async () => {
      const entry = await this.manifest(key, digest)
      if (!entry) return false
      const tags = await this.tagsOf(key, digest)
      allow(tags)
      const { layout, records } = this.#store
      for (const tag of tags) await records.remove(layout.tag(key, tag), durable)
      if (entry.subject) await records.remove(layout.referrer(key, entry.subject, digest), durable)
      await records.remove(layout.manifest(key, digest), durable)
      return true
    })
  }

  notePull(_key: RepositoryKey, _digest: Digest): void {}
}

function digests(found: readonly string[]): Digest[] {
  return found.map(name => name.replace('-', ':')).filter(isDigest)
}

async function names(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch {
    return []
  }
}
