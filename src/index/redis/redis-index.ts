/** The index in Redis, which replicas share: what belongs to upstreams is everybody's, what is local this process's own. */
import type { Redis } from '../../cluster/redis.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Descriptor } from '../../oci/manifest.ts'
import type { RepositoryName, Tag } from '../../oci/name.ts'
import type { Clock } from '../../runtime/clock.ts'
import { localRegistry } from '../../store/layout.ts'
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
  hintBytes,
  packBlob,
  packDescriptor,
  packDigest,
  packManifest,
  packNumbers,
  packTag,
  unpackBlob,
  unpackDescriptor,
  unpackDigest,
  unpackManifest,
  unpackNumber,
  unpackTag,
} from './codec.ts'
import { Elsewhere } from './elsewhere.ts'
import { answerOr, Entries } from './entries.ts'
import {
  afterText,
  endOf,
  keyOfWhole,
  lifeOf,
  listingKey,
  markName,
  names,
  type Range,
  ranges,
  splitText,
  startsWith,
} from './keys.ts'
import { Names } from './names.ts'
import { setTag } from './scripts.ts'
import { Shelf } from './shelf.ts'
import { Stamps } from './stamps.ts'
import { sweep } from './sweep.ts'

export interface RedisIndexOptions {
  readonly redis: Redis
  readonly clock: Clock
  readonly bodies?: BodyLimits
}

const unknown = { answer: 'unknown' } as const
const defaultBodies: BodyLimits = { rows: 10_000, bytes: 64 * 2 ** 20 }
const nothing = Buffer.alloc(0)

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
  readonly #swept: Parameters<typeof sweep>[2]

  constructor({ redis, clock, bodies = defaultBodies }: RedisIndexOptions) {
    this.#stamps = new Stamps(redis)
    this.#shelf = new Shelf(redis, clock, () => this.renew())
    this.#entries = new Entries(this.#shelf, this.#stamps)
    this.#elsewhere = new Elsewhere(this.#shelf)
    this.#swept = { shelf: this.#shelf, stamps: this.#stamps, index: this }
    this.#names = new Names(this.#shelf, part => redis.key(part))
    this.#bodies = new Bodies(this.#shelf, bodies, part => redis.key(part))
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

  async tag(key: RepositoryKey, tag: Tag): Promise<Answer<TagEntry>> {
    return this.#entries.entry(key, { listing: 'tags', name: names.tag(tag), unpack: unpackTag })
  }

  async putTag(key: RepositoryKey, tag: Tag, entry: TagEntry): Promise<void> {
    const value = Buffer.concat([this.#stamps.of(key), packTag(entry)])
    await Promise.all([this.#setTag(key, tag, value), this.putRepository(key)])
  }

  async dropTag(key: RepositoryKey, tag: Tag): Promise<void> {
    await this.#setTag(key, tag, nothing)
  }

  async tags(key: RepositoryKey, { last, limit }: Page): Promise<Answer<readonly Tag[]>> {
    const from = afterText(ranges.tags, last ?? '')
    const read = (member: Buffer) => {
      const { text, value } = splitText(ranges.tags.prefix, member)
      return this.#stamps.current(key, value) && (text as Tag)
    }
    return this.#entries.whole(key, 'tags', { range: ranges.tags, from, limit, read })
  }

  async tagsOf(key: RepositoryKey, digest: Digest): Promise<Answer<readonly Tag[]>> {
    const range = ranges.tagged(digest)
    const read = (member: Buffer) => member.toString('utf8', range.prefix.length) as Tag
    const wanted = { range, from: range.prefix, limit: Number.POSITIVE_INFINITY, read }
    return this.#entries.through(key, 'tags', wanted, async tag => {
      const value = await this.#shelf.value(listingKey('tags', key), names.tag(tag))
      const packed = value && this.#stamps.current(key, value)
      return packed && unpackTag(packed).digest === digest ? tag : undefined
    })
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
    await this.#shelf.drop(listingKey('manifests', key), [names.manifest(digest)])
  }

  async manifests(key: RepositoryKey, page: Page<Digest>): Promise<Answer<readonly HeldManifest[]>> {
    const range = ranges.manifests
    return this.#entries.whole(key, 'manifests', {
      range,
      from: afterDigest(range, page.last),
      limit: page.limit,
      read: member => {
        const { digest, rest } = unpackDigest(member.subarray(range.prefix.length))
        const packed = this.#stamps.current(key, rest)
        return packed && { digest, entry: unpackManifest(packed) }
      },
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
    await Promise.all([
      this.#shelf.drop(listingKey('blobs', key), [names.blob(digest)]),
      this.#elsewhere.drop(key, digest),
    ])
  }

  async publicBlob(registry: string, digest: Digest): Promise<BlobEntry | undefined> {
    return answerOr(() => this.#elsewhere.publicBlob(registry, digest), undefined)
  }

  async holdersOf(digest: Digest, limit: number): Promise<readonly RepositoryKey[]> {
    return answerOr(() => this.#elsewhere.holdersOf(digest, limit), [])
  }

  async referrers(
    key: RepositoryKey,
    subject: Digest,
    { last, limit }: Page<Digest>,
  ): Promise<Answer<readonly Descriptor[]>> {
    const range = ranges.referrers(subject)
    return this.#entries.whole(
      key,
      { referrersOf: subject },
      {
        range,
        from: afterDigest(range, last),
        limit,
        read: member => {
          const { rest } = unpackDigest(member.subarray(range.prefix.length))
          const packed = this.#stamps.current(key, rest)
          return packed && unpackDescriptor(packed)
        },
      },
    )
  }

  async putReferrer(key: RepositoryKey, subject: Digest, referrer: Descriptor): Promise<void> {
    await this.#put(key, 'referrers', names.referrer(subject, referrer.digest), packDescriptor(referrer))
  }

  async dropReferrer(key: RepositoryKey, subject: Digest, referrer: Digest): Promise<void> {
    await this.#shelf.drop(listingKey('referrers', key), [names.referrer(subject, referrer)])
  }

  async putChildren(key: RepositoryKey, parent: Digest, children: readonly Descriptor[]): Promise<void> {
    const pairs = children.map(
      ({ digest, size }) => [names.child(digest, parent), packNumbers(size)] as const,
    )
    await this.#shelf.put(listingKey('manifests', key), lifeOf(key.registry), pairs)
  }

  async dropChildren(key: RepositoryKey, parent: Digest, children: readonly Descriptor[]): Promise<void> {
    const dropped = children.map(({ digest }) => names.child(digest, parent))
    await this.#shelf.drop(listingKey('manifests', key), dropped)
  }

  async childSize(key: RepositoryKey, digest: Digest): Promise<number | undefined> {
    const range = ranges.parents(digest)
    return answerOr(async () => {
      const member = await this.#shelf.firstAfter(listingKey('manifests', key), range.prefix)
      if (!startsWith(member, range.prefix)) return undefined
      return unpackNumber(member.subarray(range.prefix.length + hintBytes))
    }, undefined)
  }

  async parentsOf(key: RepositoryKey, child: Digest): Promise<Answer<readonly Digest[]>> {
    const range = ranges.parents(child)
    const read = (member: Buffer) => member.subarray(range.prefix.length).subarray(0, hintBytes)
    const wanted = { range, from: range.prefix, limit: Number.POSITIVE_INFINITY, read }
    return this.#entries.through(key, 'manifests', wanted, hint =>
      this.#heldManifest(key, names.hinted(hint)),
    )
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
    await this.#names.drop(key)
  }

  async markRepositoriesComplete(epoch = this.epoch): Promise<void> {
    const era = this.#shelf.era.stamp
    const { own } = this.#stamps
    if (!era || epoch !== this.epoch) return
    await answerOr(() => this.#names.sweep(era, own), undefined)
    if (epoch === this.epoch) await this.#names.mark(era, own)
  }

  async markComplete(key: RepositoryKey, what: Whole, epoch = this.epoch): Promise<void> {
    const stamp = this.#stamps.mark(key, this.#shelf.era.stamp)
    if (!stamp || epoch !== this.epoch) return
    if (key.registry === localRegistry && what !== 'referrers')
      // so many subjects: passed over when they are read
      await answerOr(() => sweep(key, what, this.#swept), undefined)
    if (epoch !== this.epoch) return
    await this.#shelf.put(keyOfWhole(what, key), lifeOf(key.registry), [[markName(what), stamp]])
  }

  async markIncomplete(key: RepositoryKey, what: Whole): Promise<void> {
    const marks = typeof what === 'string' ? [markName(what)] : [markName(what), markName('referrers')]
    await this.#shelf.drop(keyOfWhole(what, key), marks)
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

  #setTag(key: RepositoryKey, tag: Tag, value: Buffer): Promise<void> {
    const hintAt = this.#stamps.of(key).length
    const args = [names.tag(tag), value, hintAt + 1, hintAt + hintBytes, tag]
    return this.#shelf.write(listingKey('tags', key), (client, full) =>
      client.eval(setTag, 1, full, lifeOf(key.registry) ?? '', ...args),
    )
  }

  /** A manifest of this epoch whose name begins so. */
  async #heldManifest(key: RepositoryKey, name: Buffer): Promise<Digest | undefined> {
    const member = await this.#shelf.firstAfter(listingKey('manifests', key), name)
    if (!startsWith(member, name)) return undefined
    const { digest, rest } = unpackDigest(member.subarray(ranges.manifests.prefix.length))
    return this.#stamps.current(key, rest) && digest
  }
}

function afterDigest({ prefix }: Range, last: Digest | undefined): Buffer {
  return last === undefined ? prefix : endOf(Buffer.concat([prefix, packDigest(last)]))
}
