/** The index in Redis, which replicas share: what belongs to upstreams is everybody's, what is local this process's own. */
import type { Redis } from '../../cluster/redis/redis.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Descriptor } from '../../oci/manifest.ts'
import type { RepositoryName, Tag } from '../../oci/name.ts'
import type { Clock } from '../../runtime/clock.ts'
import type {
  Answer,
  BlobEntry,
  HeldManifest,
  Index,
  IndexState,
  Listing,
  ListingEntry,
  ManifestEntry,
  Page,
  RepositoryKey,
  TagEntry,
  Whole,
} from '../index.ts'
import { Bodies, type BodyLimits } from './bodies.ts'
import {
  packBlob,
  packDescriptor,
  packManifest,
  unpackBlob,
  unpackDescriptor,
  unpackManifest,
} from './codec.ts'
import { Elsewhere } from './elsewhere.ts'
import { answerOr, Entries } from './entries.ts'
import { lifeOf, listingKey, names, ranges } from './keys.ts'
import { Kinship } from './kinship.ts'
import { Marks } from './marks.ts'
import { Names } from './names.ts'
import { Shelf } from './shelf.ts'
import { Stamps } from './stamps.ts'
import { Tags } from './tags.ts'

export interface RedisIndexOptions {
  readonly redis: Redis
  readonly clock: Clock
  readonly bodies?: BodyLimits
  /**
   * Each replica has records of its own of what upstreams gave, which another one's mark says nothing of: what Redis
   * lacks of those is unknown, and never absent.
   */
  readonly hasOwnRecords?: boolean
}

const unknown = { answer: 'unknown' } as const
const defaultBodies: BodyLimits = { rows: 10_000, bytes: 64 * 2 ** 20 }

/** Resolves when it is known whether what others found complete holds, or Redis is down. The connection stays the caller's. */
export async function openRedisIndex(options: RedisIndexOptions): Promise<RedisIndex> {
  const index = new RedisIndex(options)
  await index.ready()
  return index
}

export class RedisIndex implements Index {
  readonly shared: IndexState | undefined = undefined
  readonly #shelf: Shelf
  readonly #names: Names
  readonly #bodies: Bodies
  readonly #stamps: Stamps
  readonly #entries: Entries
  readonly #elsewhere: Elsewhere
  readonly #kinship: Kinship
  readonly #tags: Tags
  readonly #marks: Marks

  constructor({ redis, clock, bodies = defaultBodies, hasOwnRecords = false }: RedisIndexOptions) {
    const key = (part: string) => redis.key(part)
    const stamps = new Stamps(redis)
    this.#stamps = stamps
    const shelf = new Shelf(redis, clock, () => this.renew())
    this.#shelf = shelf
    const entries = new Entries(shelf, stamps, hasOwnRecords)
    this.#entries = entries
    this.#elsewhere = new Elsewhere(shelf)
    this.#kinship = new Kinship({ shelf, stamps, entries })
    this.#tags = new Tags({ shelf, stamps, entries })
    this.#names = new Names(shelf, key)
    this.#bodies = new Bodies(shelf, bodies, key)
    this.#marks = new Marks({
      shelf,
      stamps,
      elsewhere: this.#elsewhere,
      names: this.#names,
      epoch: () => this.epoch,
    })
  }

  get epoch(): string {
    return `${this.#stamps.own.toString('hex')} ${this.era ?? ''} ${this.#shelf.losses.count}`
  }

  /** Names what Redis keeps until it may have lost some of it; undefined while that is not known. */
  get era(): string | undefined {
    return this.#shelf.era.stamp?.toString('hex')
  }

  get up(): boolean {
    return this.#shelf.up
  }

  async ready(): Promise<void> {
    await this.#shelf.era.look()
  }

  tag(key: RepositoryKey, tag: Tag): Promise<Answer<TagEntry>> {
    return this.#tags.get(key, tag)
  }

  async putTag(key: RepositoryKey, tag: Tag, entry: TagEntry): Promise<void> {
    await Promise.all([this.#tags.put(key, tag, entry), this.putRepository(key)])
  }

  dropTag(key: RepositoryKey, tag: Tag): Promise<void> {
    return this.#tags.drop(key, tag)
  }

  tags(key: RepositoryKey, page: Page): Promise<Answer<readonly Tag[]>> {
    return this.#tags.list(key, page)
  }

  tagsOf(key: RepositoryKey, digest: Digest): Promise<Answer<readonly Tag[]>> {
    return this.#tags.of(key, digest)
  }

  async manifest(key: RepositoryKey, digest: Digest): Promise<Answer<ManifestEntry>> {
    return this.#entries.entry(key, {
      listing: 'manifests',
      name: names.manifest(digest),
      unpack: unpackManifest,
    })
  }

  async putManifest(key: RepositoryKey, digest: Digest, entry: ManifestEntry): Promise<void> {
    await Promise.all([
      this.#put(key, 'manifests', names.manifest(digest), packManifest(entry)),
      this.putRepository(key),
    ])
  }

  async dropManifest(key: RepositoryKey, digest: Digest): Promise<void> {
    await this.#drop(key, 'manifests', names.manifest(digest))
  }

  manifests(key: RepositoryKey, page: Page<Digest>): Promise<Answer<readonly HeldManifest[]>> {
    return this.#entries.byDigest(key, 'manifests', {
      range: ranges.manifests,
      page,
      read: (digest, packed) => ({ digest, entry: unpackManifest(packed) }),
    })
  }

  async blob(key: RepositoryKey, digest: Digest): Promise<Answer<BlobEntry>> {
    return this.#entries.entry(key, { listing: 'blobs', name: names.blob(digest), unpack: unpackBlob })
  }

  async putBlob(key: RepositoryKey, digest: Digest, entry: BlobEntry): Promise<void> {
    await Promise.all([
      this.#put(key, 'blobs', names.blob(digest), packBlob(entry)),
      this.#elsewhere.put(key, digest, entry),
      this.putRepository(key),
    ])
  }

  async dropBlob(key: RepositoryKey, digest: Digest): Promise<void> {
    await Promise.all([this.#drop(key, 'blobs', names.blob(digest)), this.#elsewhere.drop(key, digest)])
  }

  async publicBlob(registry: string, digest: Digest): Promise<BlobEntry | undefined> {
    return answerOr(() => this.#elsewhere.publicBlob(registry, digest), undefined)
  }

  async holdersOf(digest: Digest, limit: number): Promise<readonly RepositoryKey[]> {
    return answerOr(() => this.#elsewhere.holdersOf(digest, limit), [])
  }

  referrers(key: RepositoryKey, subject: Digest, page: Page<Digest>): Promise<Answer<readonly Descriptor[]>> {
    const listed = { referrersOf: subject }
    const range = ranges.referrers(subject)
    const read = (_: Digest, packed: Buffer) => unpackDescriptor(packed)
    return this.#entries.byDigest(key, listed, { range, page, read })
  }

  async putReferrer(key: RepositoryKey, subject: Digest, referrer: Descriptor): Promise<void> {
    await this.#put(key, 'referrers', names.referrer(subject, referrer.digest), packDescriptor(referrer))
  }

  async dropReferrer(key: RepositoryKey, subject: Digest, referrer: Digest): Promise<void> {
    await this.#drop(key, 'referrers', names.referrer(subject, referrer))
  }

  putChildren(key: RepositoryKey, parent: Digest, children: readonly Descriptor[]): Promise<void> {
    return this.#kinship.put(key, parent, children)
  }

  dropChildren(key: RepositoryKey, parent: Digest, children: readonly Descriptor[]): Promise<void> {
    return this.#kinship.drop(key, parent, children)
  }

  childSize(key: RepositoryKey, digest: Digest): Promise<number | undefined> {
    return answerOr(() => this.#kinship.size(key, digest), undefined)
  }

  parentsOf(key: RepositoryKey, child: Digest): Promise<Answer<readonly Digest[]>> {
    return this.#kinship.parentsOf(key, child)
  }

  async listing(
    key: RepositoryKey,
    kind: 'tags' | 'referrers',
    query: string,
  ): Promise<ListingEntry | undefined> {
    return answerOr(() => this.#bodies.get(key, kind, query), undefined)
  }

  async putListing(
    key: RepositoryKey,
    kind: 'tags' | 'referrers',
    query: string,
    entry: ListingEntry,
  ): Promise<void> {
    await this.#bodies.put(key, kind, query, entry)
  }

  async registries(): Promise<readonly string[]> {
    return answerOr(() => this.#names.registries(), [])
  }

  async repositories(registry: string, page: Page): Promise<Answer<readonly RepositoryName[]>> {
    return answerOr<Answer<readonly RepositoryName[]>>(async () => {
      const found = await this.#names.page(registry, page, this.#stamps.of({ registry }))
      return found ? { answer: 'present', value: found } : unknown
    }, unknown)
  }

  async putRepository(key: RepositoryKey): Promise<void> {
    await this.#names.put(key, this.#stamps.of(key))
  }

  async dropRepository(key: RepositoryKey): Promise<void> {
    await this.#names.drop(key, this.#stamps.of(key))
  }

  markRepositoriesComplete(epoch = this.epoch): Promise<void> {
    return this.#marks.putRepositories(epoch)
  }

  markComplete(key: RepositoryKey, what: Whole, epoch = this.epoch): Promise<void> {
    return this.#marks.put(key, what, epoch)
  }

  markIncomplete(key: RepositoryKey, what: Whole): Promise<void> {
    return this.#marks.drop(key, what)
  }

  renew(): void {
    this.#stamps.renew()
  }

  /** Servers in other processes ask their primary. */
  async share(): Promise<undefined> {}

  async flush(): Promise<boolean> {
    await this.#shelf.settled()
    return this.up
  }

  close(): Promise<void> {
    return this.#shelf.close()
  }

  async #put(key: RepositoryKey, listing: Listing, name: Buffer, packed: Buffer): Promise<void> {
    const value = Buffer.concat([this.#stamps.of(key), packed])
    await this.#shelf.put(listingKey(listing, key), lifeOf(key.registry), [[name, value]])
  }

  async #drop(key: RepositoryKey, listing: Listing, name: Buffer): Promise<void> {
    await this.#shelf.drop(listingKey(listing, key), [name], this.#stamps.of(key))
  }
}
