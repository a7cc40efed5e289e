/**
 * The index answers quickly what the store's records say, and may be lost at any moment.
 * It knows three answers: present, absent and unknown. *Unknown* sends the asker to the records.
 */
import type { Digest } from '../oci/digest.ts'
import type { Descriptor } from '../oci/manifest.ts'
import type { RepositoryName, Tag } from '../oci/name.ts'
import type { RepositoryKey } from '../store/layout.ts'

export type { RepositoryKey }

/** Told that something of a local repository is about to change: what it was is answered no more when this resolves. */
export type Changing = (key: RepositoryKey) => void | Promise<void>

/**
 * Told that something of the repository is not what it was. A write to a local repository resolves when this has; of
 * what came from an upstream others may hear later.
 */
export type Changed = (key: RepositoryKey) => void | Promise<void>

export type Answer<T> =
  | { readonly answer: 'present'; readonly value: T }
  | { readonly answer: 'absent' }
  | { readonly answer: 'unknown' }

/** Part of a listing in byte order: at most `limit` entries after `last`, which is exclusive and need not exist. */
export interface Page<T extends string = string> {
  readonly last: T | undefined
  readonly limit: number
}

export interface TagEntry {
  readonly digest: Digest
  readonly mediaType: string
  /** Bytes of the manifest; undefined when only a HEAD without a length was seen. */
  readonly size: number | undefined
  /** When the tag came to point at this digest. All times are milliseconds since the epoch. */
  readonly movedAt: number
  /** When upstream last confirmed it. */
  readonly checkedAt: number
  /** Since when upstream answers 404 for it. */
  readonly missingSince: number | undefined
}

export interface ManifestEntry {
  readonly mediaType: string
  readonly size: number
  readonly artifactType: string | undefined
  readonly subject: Digest | undefined
  readonly annotations: Readonly<Record<string, string>> | undefined
  /** When it came. */
  readonly at: number
  /** When it was last asked for, as of the last hour. */
  readonly pulledAt: number | undefined
  /** First fetched anonymously from a `public` upstream. */
  readonly isPublic: boolean
}

export interface BlobEntry {
  /** Bytes; undefined: confirmed by upstream, which did not say how long it is. */
  readonly size: number | undefined
  readonly isPublic: boolean
}

/** A listing asked of an upstream, kept to be served again: `tags` or `referrers`, with its query as the key. */
export interface ListingEntry {
  readonly body: string
  readonly fetchedAt: number
}

/** What a repository holds of one kind. `manifests` includes which of them list what. */
export type Listing = 'tags' | 'manifests' | 'blobs' | 'referrers'

/** What can be known whole: a listing of a repository, or one subject's referrers alone. */
export type Whole = Listing | { readonly referrersOf: Digest }

export interface HeldManifest {
  readonly digest: Digest
  readonly entry: ManifestEntry
}

/** What other processes need to read the index's file. */
export interface IndexState {
  readonly epoch: string
}

/** What can be asked where nothing can be written. */
export type IndexReads = Pick<
  Index,
  | 'tag'
  | 'manifest'
  | 'blob'
  | 'manifests'
  | 'tags'
  | 'tagsOf'
  | 'referrers'
  | 'childSize'
  | 'parentsOf'
  | 'publicBlob'
  | 'holdersOf'
  | 'listing'
  | 'registries'
  | 'repositories'
>

/**
 * Guarantees that every implementation keeps (test/conformance/index.ts):
 * - a read sees every write of the same process that was called before it, flushed or not;
 * - no read waits for a lock or a flush: an answer that cannot be had at once is `unknown`;
 * - `absent` is answered only under a completeness mark, which is lost together with the entries it speaks of;
 * - writes may be lost in a crash, all after some moment, never one in the middle with a mark kept;
 * - of a local repository only what was put in this epoch is answered: an entry that a crash left behind may be older
 *   than the record, and counts as unknown.
 *
 * Pages are in byte order.
 */
export interface Index {
  /** Changes whenever entries may have been lost. */
  readonly epoch: string
  /** Whether what is written outlives the process; the index answers either way. */
  readonly up: boolean
  /** What readers in other processes may use now; undefined: nothing, since they might not find what was flushed. */
  readonly shared: IndexState | undefined

  tag(key: RepositoryKey, tag: Tag): Promise<Answer<TagEntry>>
  putTag(key: RepositoryKey, tag: Tag, entry: TagEntry): Promise<void>
  dropTag(key: RepositoryKey, tag: Tag): Promise<void>

  manifest(key: RepositoryKey, digest: Digest): Promise<Answer<ManifestEntry>>
  putManifest(key: RepositoryKey, digest: Digest, entry: ManifestEntry): Promise<void>
  dropManifest(key: RepositoryKey, digest: Digest): Promise<void>

  blob(key: RepositoryKey, digest: Digest): Promise<Answer<BlobEntry>>
  putBlob(key: RepositoryKey, digest: Digest, entry: BlobEntry): Promise<void>
  dropBlob(key: RepositoryKey, digest: Digest): Promise<void>

  /** `unknown` without the mark for `manifests`. */
  manifests(key: RepositoryKey, page: Page<Digest>): Promise<Answer<readonly HeldManifest[]>>
  /** `unknown` without the mark for `tags`. */
  tags(key: RepositoryKey, page: Page): Promise<Answer<readonly Tag[]>>
  /** Tags that point at the manifest. `unknown` without the mark for `tags`. */
  tagsOf(key: RepositoryKey, digest: Digest): Promise<Answer<readonly Tag[]>>

  /** Referrers of a subject: put when a manifest with that subject is, dropped with it. */
  referrers(key: RepositoryKey, subject: Digest, page: Page<Digest>): Promise<Answer<readonly Descriptor[]>>
  putReferrer(key: RepositoryKey, subject: Digest, referrer: Descriptor): Promise<void>
  dropReferrer(key: RepositoryKey, subject: Digest, referrer: Digest): Promise<void>

  /** What a manifest of the repository lists. To be put before the manifest itself is. */
  putChildren(key: RepositoryKey, parent: Digest, children: readonly Descriptor[]): Promise<void>
  dropChildren(key: RepositoryKey, parent: Digest, children: readonly Descriptor[]): Promise<void>
  /** The size in bytes that a manifest of this repository lists the digest with, if one is known to list it. */
  childSize(key: RepositoryKey, digest: Digest): Promise<number | undefined>
  /** Manifests held by the repository that list it. `unknown` without the mark for `manifests`. */
  parentsOf(key: RepositoryKey, child: Digest): Promise<Answer<readonly Digest[]>>

  /** A public blob of this registry, in whichever repository. */
  publicBlob(registry: string, digest: Digest): Promise<BlobEntry | undefined>
  /** Some local repositories that a blob was put for: a hint, which the repository's own entry has to confirm. */
  holdersOf(digest: Digest, limit: number): Promise<readonly RepositoryKey[]>

  listing(key: RepositoryKey, kind: 'tags' | 'referrers', query: string): Promise<ListingEntry | undefined>
  putListing(
    key: RepositoryKey,
    kind: 'tags' | 'referrers',
    query: string,
    entry: ListingEntry,
  ): Promise<void>

  /** Registries, `_local` too, that a repository was ever put for. */
  registries(): Promise<readonly string[]>
  /** Repositories that something was put for, and that were not dropped since. `unknown` without their mark. */
  repositories(registry: string, page: Page): Promise<Answer<readonly RepositoryName[]>>
  /** Putting a tag, manifest or blob implies it. */
  putRepository(key: RepositoryKey): Promise<void>
  dropRepository(key: RepositoryKey): Promise<void>
  /** As `markComplete`, for the repositories of all registries. */
  markRepositoriesComplete(epoch?: string): Promise<void>

  /**
   * When this resolves, what was not put is absent; entries of earlier epochs are dropped.
   *
   * @param epoch of the index when the first entry was put; the mark is void when it has changed since
   */
  markComplete(key: RepositoryKey, what: Whole, epoch?: string): Promise<void>
  /** Takes the mark back: an entry may be missing. For one subject's referrers, also that of the whole repository's. */
  markIncomplete(key: RepositoryKey, what: Whole): Promise<void>

  /**
   * A new epoch begins: what was put for local repositories so far counts as unknown, and every mark of theirs is void.
   * To be called when this process becomes the one that writes their records: others wrote them before.
   */
  renew(): void

  /**
   * Puts what was written so far where a restart finds it, and a reader in another process.
   *
   * @returns false when it could not, or some of it was lost: then `shared` says what readers may still use
   */
  flush(): Promise<boolean>
  /** Puts what was written so far where a reader in another process finds it, if that can be done at once; then `shared`. */
  share(): Promise<IndexState | undefined>
  close(): Promise<void>
}
