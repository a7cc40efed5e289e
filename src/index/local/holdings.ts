/** What local repositories hold: the index's answer where it is of this epoch, else the record's; written records first. */
import { always, type Owned } from '../../cluster/owner/ownership.ts'
import type { Logger } from '../../observe/log.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Descriptor } from '../../oci/manifest.ts'
import type { Tag } from '../../oci/name.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { RepositoryKey } from '../../store/layout.ts'
import type { Store } from '../../store/store.ts'
import { type LockKeys, Locks } from '../../stream/locks.ts'
import { settle } from '../answer.ts'
import { Completion } from '../completion.ts'
import { holdsAny } from '../folders.ts'
import type { Answer, BlobEntry, Changed, Changing, Index, ManifestEntry, Page, TagEntry } from '../index.ts'
import { Listings } from '../listings.ts'
import { PullNotes } from '../pull-notes.ts'
import { contentLock, repositoryLock, tagLock } from './locks.ts'
import type { PushedBlob } from './pushed-blob.ts'
import type { Found, PushedManifest } from './pushed-manifest.ts'
import { LocalRecords } from './records.ts'
import { Renewals } from './renewals.ts'
import { Taking } from './taking.ts'
import { type CountedIn, Usage } from './usage.ts'
import { Watch } from './watch.ts'
import { LocalWrites } from './writes.ts'

export interface HoldingsDeps {
  readonly index: Index
  readonly store: Store
  readonly clock: Clock
  readonly log: Logger
  readonly changing?: Changing
  readonly changed?: Changed
  /** Default: nobody else writes. */
  readonly owned?: Owned
  /** Default: nobody has to know how much there is. */
  readonly countedIn?: CountedIn
}

export type { Found, PushedManifest }

/** Hints are cheap, but not to be followed for ever. */
const maxHints = 10

/**
 * What it answers is what the records say. A write is on disk and in the index when it resolves, and atomic against the
 * others; when it rejects, the record may be as before or as wanted, and the index says which.
 * An error of the disk is an error, and never *absent*.
 */
export class Holdings {
  readonly completion: Completion
  readonly listings: Listings
  /** Tells a collection what is written meanwhile. */
  readonly watch = new Watch()
  readonly taking: Taking
  readonly usage: Usage
  readonly #renewals: Renewals
  readonly #deps: HoldingsDeps
  readonly #locks = new Locks()
  readonly #records: LocalRecords
  readonly #writes: LocalWrites
  readonly #pulls: PullNotes

  constructor(deps: HoldingsDeps) {
    this.#deps = deps
    this.#records = new LocalRecords(deps)
    this.completion = new Completion(deps)
    this.listings = new Listings({ ...deps, completion: this.completion, filler: this })
    const shared = { ...deps, locks: this.#locks, records: this.#records }
    this.usage = new Usage({ countedIn: () => undefined, ...shared })
    this.#writes = new LocalWrites({
      changing: () => {},
      changed: () => {},
      owned: () => always,
      ...deps,
      completion: this.completion,
      records: this.#records,
      watch: this.watch,
      usage: this.usage,
    })
    this.taking = new Taking({ ...shared, writes: this.#writes, left: key => this.#leave(key) })
    this.#renewals = new Renewals({ owned: () => always, ...shared, watch: this.watch })
    this.#pulls = new PullNotes({
      clock: deps.clock,
      write: ({ key, digest, at }) =>
        this.#locks.hold({ exclusive: [contentLock(key, digest)] }, () =>
          this.#writes.notePull(key, digest, at),
        ),
      failed: error => deps.log.error({ err: error }, 'a pull time could not be kept'),
    })
  }

  tag(key: RepositoryKey, tag: Tag): Promise<TagEntry | undefined> {
    const lock = { exclusive: [tagLock(key, tag)] }
    return this.#settle(this.#deps.index.tag(key, tag), lock, () => this.#records.readTag(key, tag))
  }

  manifest(key: RepositoryKey, digest: Digest): Promise<ManifestEntry | undefined> {
    const lock = { exclusive: [contentLock(key, digest)] }
    return this.#settle(this.#deps.index.manifest(key, digest), lock, () =>
      this.#records.readManifest(key, digest),
    )
  }

  blob(key: RepositoryKey, digest: Digest): Promise<BlobEntry | undefined> {
    const lock = { exclusive: [contentLock(key, digest)] }
    return this.#settle(this.#deps.index.blob(key, digest), lock, () => this.#records.readBlob(key, digest))
  }

  /** Puts one of a subject's referrers into the index, as its record says. */
  referrer(key: RepositoryKey, subject: Digest, digest: Digest): Promise<void> {
    const lock = { exclusive: [contentLock(key, digest)] }
    return this.#locks.hold(lock, () => this.#records.readReferrer(key, subject, digest))
  }

  /** Whether it holds anything at all. */
  exists(key: RepositoryKey): Promise<boolean> {
    return holdsAny(this.#deps.store, key)
  }

  /** In byte order, as all listings. @throws RegistryError UNAVAILABLE (503) while the index is being completed */
  tags(key: RepositoryKey, page: Page): Promise<readonly Tag[]> {
    return this.listings.tags(key, page)
  }

  referrers(key: RepositoryKey, subject: Digest, page: Page<Digest>): Promise<readonly Descriptor[]> {
    return this.listings.referrers(key, subject, page)
  }

  /** Tags that point at the manifest. */
  tagsOf(key: RepositoryKey, digest: Digest): Promise<readonly Tag[]> {
    return this.listings.tagsOf(key, digest)
  }

  /** Manifests of the repository that list it. */
  parentsOf(key: RepositoryKey, child: Digest): Promise<readonly Digest[]> {
    return this.listings.parentsOf(key, child)
  }

  /** Some local repository that holds the blob. After a crash of the index one may be overlooked. */
  async holderOf(digest: Digest): Promise<RepositoryKey | undefined> {
    const { index } = this.#deps
    for (const key of await index.holdersOf(digest, maxHints)) {
      if (await this.blob(key, digest)) return key
      await this.#locks.hold({ exclusive: [contentLock(key, digest)] }, async () => {
        if (!(await this.#records.readBlob(key, digest))) await index.dropBlob(key, digest)
      })
    }
    return undefined
  }

  putBlob(key: RepositoryKey, digest: Digest, pushed: PushedBlob): Promise<void> {
    pushed.stored?.catch(() => {}) // told of when its turn comes
    return this.#locks.hold({ exclusive: [contentLock(key, digest)], shared: [repositoryLock(key)] }, () =>
      this.#writes.putBlob(key, digest, pushed),
    )
  }

  /**
   * Somebody is told that the blob is here and need not be pushed: no collection takes it before the grace has gone by.
   * Resolves with whether it is held.
   */
  async renew(key: RepositoryKey, digest: Digest): Promise<boolean> {
    return (await this.blob(key, digest)) !== undefined && this.#renewals.blob(key, digest)
  }

  /** As `renew`, of a manifest that is known to be held: its time without a tag begins anew. */
  renewManifest(key: RepositoryKey, digest: Digest): Promise<boolean> {
    return this.#renewals.manifest(key, digest)
  }

  /** It was promised lately, which its record does not say where the disk could not be written. */
  wasPromised(key: RepositoryKey, digest: Digest): boolean {
    return this.#renewals.isFresh(key, digest)
  }

  /** @param allow may throw to refuse: then nothing happened. Resolves with false when it was not held */
  async dropBlob(
    key: RepositoryKey,
    digest: Digest,
    allow: (parents: readonly Digest[]) => void,
  ): Promise<boolean> {
    if (!(await this.blob(key, digest))) return false
    const lock = { exclusive: [contentLock(key, digest)], shared: [repositoryLock(key)] }
    const dropped = await this.#knowing(
      () => this.parentsOf(key, digest),
      () => this.#locks.hold(lock, () => this.#writes.dropBlob(key, digest, allow)),
    )
    if (dropped) await this.#leave(key)
    return dropped
  }

  putManifest(key: RepositoryKey, digest: Digest, pushed: PushedManifest): Promise<void> {
    const { view, tags, requires } = pushed
    pushed.stored.catch(() => {}) // told of when its turn comes
    const listed = [...view.blobs, ...view.manifests, ...requires]
    const locks: LockKeys = {
      exclusive: [contentLock(key, digest), ...tags.map(tag => tagLock(key, tag))],
      shared: [repositoryLock(key), ...listed.map(child => contentLock(key, child.digest))],
    }
    return this.#locks.hold(locks, () => this.#writes.putManifest(key, digest, pushed))
  }

  /** Resolves with false when there was none. */
  async dropTag(key: RepositoryKey, tag: Tag): Promise<boolean> {
    const locks = { exclusive: [tagLock(key, tag)], shared: [repositoryLock(key)] }
    const dropped = await this.#locks.hold(locks, () => this.#writes.dropTag(key, tag))
    if (dropped) await this.#leave(key)
    return dropped
  }

  /**
   * With every tag that points at it and its entry among its subject's referrers.
   *
   * @param allow may throw to refuse: then nothing happened. Resolves with false when it was not held
   */
  async dropManifest(
    key: RepositoryKey,
    digest: Digest,
    allow: (tags: readonly Tag[]) => void,
  ): Promise<boolean> {
    if (!(await this.manifest(key, digest))) return false
    const locks = { exclusive: [contentLock(key, digest)], shared: [repositoryLock(key)] }
    const dropped = await this.#knowing(
      () => this.tagsOf(key, digest),
      () =>
        this.#locks.hold(locks, async deeper => {
          const tags = await this.#deps.index.tagsOf(key, digest)
          if (tags.answer === 'unknown') return undefined
          const pointing = tags.answer === 'present' ? tags.value : []
          return deeper({ exclusive: pointing.map(tag => tagLock(key, tag)) }, () =>
            this.#writes.dropManifest(key, digest, { pointing, allow }),
          )
        }),
    )
    if (dropped) await this.#leave(key)
    return dropped
  }

  /**
   * The manifest was asked for: kept once an hour, behind the answer.
   *
   * @param pulledAt when it was asked for before, as far as that is known
   */
  notePull(key: RepositoryKey, digest: Digest, pulledAt?: number): void {
    this.#pulls.note(key, digest, pulledAt)
  }

  /** It was asked for within the last hour, which its record need not say yet. */
  wasPulled(key: RepositoryKey, digest: Digest): boolean {
    return this.#pulls.isNoted(key, digest)
  }

  /** Ends what runs behind; resolves when no write is under way. */
  async stop(): Promise<void> {
    await this.completion.stop()
    await this.usage.stop()
    await this.#pulls.stop()
    await this.#locks.settled()
  }

  async #settle<T>(
    asked: Promise<Answer<T>>,
    lock: LockKeys,
    read: () => Promise<T | undefined>,
  ): Promise<T | undefined> {
    return settle(await asked, () => this.#locks.hold(lock, read))
  }

  /** Learns before the task takes its locks, which learning needs too. The task resolves with undefined to have it learnt again. */
  #knowing(learn: () => Promise<unknown>, task: () => Promise<boolean | undefined>): Promise<boolean> {
    return this.completion.untilKnown(async () => {
      await learn()
      return task()
    })
  }

  /** A repository is not listed any more when nothing is left of it. */
  async #leave(key: RepositoryKey): Promise<void> {
    if (await this.exists(key)) return
    await this.#locks.hold({ exclusive: [repositoryLock(key)] }, async () => {
      if (!(await this.exists(key))) await this.#deps.index.dropRepository(key)
    })
  }
}
