/** Writes to local repositories: the records durably, then the index. Who calls holds the locks (locks.ts). */
import type { Owned, Standing } from '../../cluster/owner/ownership.ts'
import type { Logger } from '../../observe/log.ts'
import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Descriptor } from '../../oci/manifest.ts'
import { isManifestType } from '../../oci/media-type.ts'
import type { Tag } from '../../oci/name.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { RepositoryKey } from '../../store/layout.ts'
import type { Store } from '../../store/store.ts'
import { allDone } from '../../stream/all-done.ts'
import { settle } from '../answer.ts'
import type { Completion } from '../completion.ts'
import type { BlobEntry, Changed, Changing, Index, ManifestEntry, TagEntry } from '../index.ts'
import { wasLately } from '../noted-times.ts'
import { childrenOf } from '../records.ts'
import type { PushedBlob } from './pushed-blob.ts'
import { descriptorOf, manifestOf, movedTags, type PushedManifest } from './pushed-manifest.ts'
import type { LocalRecords } from './records.ts'
import { type Touched, Touching } from './touched.ts'
import type { Usage } from './usage.ts'
import type { Watch } from './watch.ts'

export interface LocalWritesDeps {
  readonly index: Index
  readonly store: Store
  readonly clock: Clock
  readonly log: Logger
  readonly completion: Completion
  readonly records: LocalRecords
  readonly watch: Watch
  readonly usage: Pick<Usage, 'noting'>
  readonly changing: Changing
  readonly changed: Changed
  readonly owned: Owned
}

export class LocalWrites {
  readonly #deps: LocalWritesDeps
  readonly #touching: Touching

  constructor(deps: LocalWritesDeps) {
    this.#deps = deps
    this.#touching = new Touching(deps)
  }

  async putBlob(key: RepositoryKey, digest: Digest, { size, stored, allow }: PushedBlob): Promise<void> {
    const { index, records, clock } = this.#deps
    const entry = { size, isPublic: false }
    allow?.((await this.#blobOf(key, digest)) !== undefined)
    await this.#told(key, [digest], () =>
      this.#change(key, [this.#touching.blob(key, digest)], async () => {
        await records.saveBlob(key, digest, { entry, at: clock.now(), after: stored })
        await index.putBlob(key, digest, entry)
      }),
    )
  }

  /** The links go, whatever lists the blobs: that is the caller's to know. */
  async removeBlobs(key: RepositoryKey, digests: readonly Digest[]): Promise<void> {
    const { index, records } = this.#deps
    const touched = digests.map(digest => this.#touching.blob(key, digest))
    await this.#change(key, touched, async () => {
      await allDone(digests.map(digest => records.removeBlob(key, digest)))
      for (const digest of digests) await index.dropBlob(key, digest)
    })
  }

  /** Undefined when the index does not know what lists it. */
  async dropBlob(
    key: RepositoryKey,
    digest: Digest,
    allow: (parents: readonly Digest[]) => void,
  ): Promise<boolean | undefined> {
    const { index, records } = this.#deps
    if (!(await this.#blobOf(key, digest))) return false
    const parents = await index.parentsOf(key, digest)
    if (parents.answer === 'unknown') return undefined
    allow(parents.answer === 'present' ? parents.value : [])
    await this.#change(key, [this.#touching.blob(key, digest)], async () => {
      await records.removeBlob(key, digest)
      await index.dropBlob(key, digest)
    })
    return true
  }

  async putManifest(key: RepositoryKey, digest: Digest, pushed: PushedManifest): Promise<void> {
    const { index, records, clock } = this.#deps
    const { view, requires, allow } = pushed
    const current = await this.#current(key, pushed.tags)
    const before = await this.#manifestOf(key, digest)
    allow({ current, missing: await this.#missing(key, requires), isHeld: before !== undefined })
    const entry = manifestOf(pushed, clock.now(), before?.pulledAt)
    const referrer = view.subject && {
      subject: view.subject.digest,
      descriptor: descriptorOf(digest, pushed),
    }
    const tags = movedTags(digest, pushed, { current, now: clock.now() })
    const children = [...view.blobs, ...view.manifests]
    const touched = this.#touching.manifestAnd([...tags.keys()], {
      key,
      digest,
      subject: view.subject?.digest,
    })
    await this.#told(key, [digest, ...children.map(child => child.digest)], () =>
      this.#change(key, touched, async () => {
        await records.saveManifest(key, digest, entry, pushed.stored) // a referrer that is listed has to be there
        if (referrer) await records.saveReferrer(key, referrer.subject, referrer.descriptor)
        await this.#moveTags(key, tags, current)
        await index.putChildren(key, digest, children)
        await index.putManifest(key, digest, entry)
        if (referrer) await index.putReferrer(key, referrer.subject, referrer.descriptor)
        for (const [tag, moved] of tags) await index.putTag(key, tag, moved)
      }),
    )
  }

  async dropTag(key: RepositoryKey, tag: Tag): Promise<boolean> {
    const { index, records } = this.#deps
    if (!(await this.#tagOf(key, tag))) return false
    await this.#change(key, [this.#touching.tag(key, tag)], async () => {
      await records.removeTag(key, tag)
      await index.dropTag(key, tag)
    })
    return true
  }

  /** @param pointing tags that pointed at it a moment ago; others cannot have come */
  async dropManifest(
    key: RepositoryKey,
    digest: Digest,
    { pointing, allow }: { pointing: readonly Tag[]; allow: (tags: readonly Tag[]) => void },
  ): Promise<boolean> {
    const { index, records, store } = this.#deps
    const entry = await this.#manifestOf(key, digest)
    if (!entry) return false
    const current = await this.#current(key, pointing)
    const tags = pointing.filter(tag => current.get(tag)?.digest === digest)
    allow(tags)
    const { subject } = entry
    const body = await store.pushed.read(digest).catch(() => undefined) // what it lists is of no consequence any more
    await this.#change(key, this.#touching.manifestAnd(tags, { key, digest, subject }), async () => {
      await allDone(tags.map(tag => records.removeTag(key, tag)))
      if (subject) await records.removeReferrer(key, subject, digest)
      await records.removeManifest(key, digest)
      for (const tag of tags) await index.dropTag(key, tag)
      if (subject) await index.dropReferrer(key, subject, digest)
      await index.dropManifest(key, digest)
      await index.dropChildren(key, digest, childrenOf(body))
    })
    return true
  }

  /** Durable, as the record that it replaces was: a pull must not put at risk what was pushed. */
  async notePull(key: RepositoryKey, digest: Digest, now: number): Promise<void> {
    const { index, records } = this.#deps
    this.#deps.owned()
    const entry = await this.#manifestOf(key, digest)
    if (!entry || wasLately(entry.pulledAt, now)) return
    const pulled = { ...entry, pulledAt: now }
    await this.#told(key, [digest], () =>
      this.#touching.write(key, [this.#touching.manifest(key, digest)], async () => {
        await records.saveManifest(key, digest, pulled)
        await index.putManifest(key, digest, pulled)
      }),
    )
  }

  /** A write after which records may name the digests: a collection that has passed them by hears of it. */
  async #told<T>(key: RepositoryKey, digests: readonly Digest[], write: () => Promise<T>): Promise<T> {
    try {
      return await write()
    } finally {
      this.#deps.watch.tell(key, digests)
    }
  }

  /** A write that readers see: told before and after. */
  async #change(key: RepositoryKey, touched: readonly Touched[], task: () => Promise<void>): Promise<void> {
    const { changing, changed, owned, usage } = this.#deps
    const standing = owned()
    await changing(key)
    const links = touched.map(({ link }) => link).filter(link => link !== undefined)
    const write = async () => {
      assertHolds(standing) // others may have been waited for
      await usage.noting(key, links, () => this.#touching.write(key, touched, task))
    }
    const [written] = await Promise.allSettled([write()])
    const [told] = await Promise.allSettled([changed(key)])
    for (const result of [written, told]) if (result.status === 'rejected') throw result.reason
    assertHolds(standing) // what another owner may have missed is not acknowledged
  }

  /** All of them, or none: what was moved already goes back. */
  async #moveTags(
    key: RepositoryKey,
    tags: ReadonlyMap<Tag, TagEntry>,
    current: ReadonlyMap<Tag, TagEntry>,
  ): Promise<void> {
    try {
      await allDone([...tags].map(([tag, entry]) => this.#deps.records.saveTag(key, tag, entry)))
    } catch (error) {
      await Promise.all([...tags.keys()].map(tag => this.#moveBack(key, tag, current.get(tag))))
      throw error
    }
  }

  async #moveBack(key: RepositoryKey, tag: Tag, before: TagEntry | undefined): Promise<void> {
    const { records, log } = this.#deps
    try {
      const now = await records.readTag(key, tag)
      if (now?.digest === before?.digest) return
      await (before ? records.saveTag(key, tag, before) : records.removeTag(key, tag))
    } catch (err) {
      log.error({ err, repository: key.repository, tag }, 'the tag of a failed push could not be put back')
    }
  }

  async #current(key: RepositoryKey, tags: readonly Tag[]): Promise<ReadonlyMap<Tag, TagEntry>> {
    const current = new Map<Tag, TagEntry>()
    for (const tag of tags) {
      const entry = await this.#tagOf(key, tag)
      if (entry) current.set(tag, entry)
    }
    return current
  }

  async #missing(key: RepositoryKey, requires: readonly Descriptor[]): Promise<readonly Descriptor[]> {
    const missing: Descriptor[] = []
    for (const descriptor of requires) {
      if (!(await this.#holds(key, descriptor))) missing.push(descriptor)
    }
    return missing
  }

  /** What an index lists as a manifest has to be one; of other types both are pushed. */
  async #holds(key: RepositoryKey, { digest, mediaType }: Descriptor): Promise<boolean> {
    if (await this.#manifestOf(key, digest)) return true
    if (isManifestType(mediaType)) return false
    return (await this.#blobOf(key, digest)) !== undefined
  }

  async #blobOf(key: RepositoryKey, digest: Digest): Promise<BlobEntry | undefined> {
    const { index, records } = this.#deps
    return settle(await index.blob(key, digest), () => records.readBlob(key, digest))
  }

  async #tagOf(key: RepositoryKey, tag: Tag): Promise<TagEntry | undefined> {
    return settle(await this.#deps.index.tag(key, tag), () => this.#deps.records.readTag(key, tag))
  }

  async #manifestOf(key: RepositoryKey, digest: Digest): Promise<ManifestEntry | undefined> {
    const { index, records } = this.#deps
    return settle(await index.manifest(key, digest), () => records.readManifest(key, digest))
  }
}

function assertHolds(standing: Standing): void {
  if (standing.holds) return
  const message = 'another replica may own the local names by now: try again'
  throw new RegistryError('UNAVAILABLE', message, { retryAfterMs: 1_000 })
}
