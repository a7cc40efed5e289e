/** The index in Redis, which replicas share: what belongs to upstreams is everybody's, what is local this process's own. */
import { randomBytes } from 'node:crypto'
import { type Redis, RedisDown } from '../../cluster/redis.ts'
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
  Damaged,
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
import { stampBytes } from './era.ts'
import {
  afterText,
  endOf,
  holdersKey,
  keyOfWhole,
  lifeOf,
  listingKey,
  markName,
  names,
  proxiedLifeMs,
  publicKey,
  type Range,
  ranges,
  splitText,
} from './keys.ts'
import { Names } from './names.ts'
import { setTag } from './scripts.ts'
import { type Part, Shelf } from './shelf.ts'

export interface RedisIndexOptions {
  readonly redis: Redis
  readonly clock: Clock
  readonly bodies?: BodyLimits
}

const absent = { answer: 'absent' } as const
const unknown = { answer: 'unknown' } as const
const defaultBodies: BodyLimits = { rows: 10_000, bytes: 64 * 2 ** 20 }
/** Members that one script gives at most. */
const membersAtOnce = 1000
const nothing = Buffer.alloc(0)

/** Resolves when it is known whether what others found complete holds, or Redis is down. The connection stays the caller's. */
export async function openRedisIndex(options: RedisIndexOptions): Promise<RedisIndex> {
  const index = new RedisIndex(options)
  await index.ready()
  return index
}

export class RedisIndex implements Index {
  readonly shared: IndexState | undefined = undefined
  readonly #redis: Redis
  readonly #shelf: Shelf
  readonly #names: Names
  readonly #bodies: Bodies
  /** What local repositories' entries are stamped with. */
  #own = randomBytes(stampBytes)
  /** Of Redis, when the stamp was new. */
  #incarnation: number

  constructor({ redis, clock, bodies = defaultBodies }: RedisIndexOptions) {
    this.#redis = redis
    this.#incarnation = redis.incarnation
    this.#shelf = new Shelf(redis, clock, () => this.renew())
    this.#names = new Names(this.#shelf, part => redis.key(part))
    this.#bodies = new Bodies(this.#shelf, bodies, part => redis.key(part))
  }

  get epoch(): string {
    return `${this.#stamp.toString('hex')} ${this.era ?? ''} ${this.#shelf.losses.count}`
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
    return this.#entry(key, { listing: 'tags', name: names.tag(tag), unpack: unpackTag })
  }

  async putTag(key: RepositoryKey, tag: Tag, entry: TagEntry): Promise<void> {
    const value = Buffer.concat([this.#stampOf(key), packTag(entry)])
    await Promise.all([this.#setTag(key, tag, value), this.putRepository(key)])
  }

  async dropTag(key: RepositoryKey, tag: Tag): Promise<void> {
    await this.#setTag(key, tag, nothing)
  }

  async tags(key: RepositoryKey, { last, limit }: Page): Promise<Answer<readonly Tag[]>> {
    const from = afterText(ranges.tags, last ?? '')
    const read = (member: Buffer) => {
      const { text, value } = splitText(ranges.tags.prefix, member)
      return this.#current(key, value) && (text as Tag)
    }
    return this.#whole(key, 'tags', { range: ranges.tags, from, limit, read })
  }

  async tagsOf(key: RepositoryKey, digest: Digest): Promise<Answer<readonly Tag[]>> {
    const range = ranges.tagged(digest)
    const pointing = await this.#whole(key, 'tags', {
      range,
      from: range.prefix,
      limit: Number.POSITIVE_INFINITY,
      read: member => member.toString('utf8', range.prefix.length) as Tag,
    })
    if (pointing.answer !== 'present') return pointing
    return this.#each(pointing.value, async tag => {
      const found = await this.tag(key, tag)
      return found.answer === 'present' && found.value.digest === digest ? tag : undefined
    })
  }

  async manifest(key: RepositoryKey, digest: Digest): Promise<Answer<ManifestEntry>> {
    return this.#entry(key, { listing: 'manifests', name: names.manifest(digest), unpack: unpackManifest })
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
    return this.#whole(key, 'manifests', {
      range,
      from: afterDigest(range, page.last),
      limit: page.limit,
      read: member => {
        const { digest, rest } = unpackDigest(member.subarray(range.prefix.length))
        const packed = this.#current(key, rest)
        return packed && { digest, entry: unpackManifest(packed) }
      },
    })
  }

  async blob(key: RepositoryKey, digest: Digest): Promise<Answer<BlobEntry>> {
    return this.#entry(key, { listing: 'blobs', name: names.blob(digest), unpack: unpackBlob })
  }

  async putBlob(key: RepositoryKey, digest: Digest, entry: BlobEntry): Promise<void> {
    await Promise.all([
      this.#put(key, 'blobs', names.blob(digest), packBlob(entry)),
      this.#putElsewhere(key, digest, entry),
      this.putRepository(key),
    ])
  }

  async dropBlob(key: RepositoryKey, digest: Digest): Promise<void> {
    await Promise.all([
      this.#shelf.drop(listingKey('blobs', key), [names.blob(digest)]),
      this.#dropElsewhere(key, digest),
    ])
  }

  async publicBlob(registry: string, digest: Digest): Promise<BlobEntry | undefined> {
    const range = ranges.publicBlobs(digest)
    return this.#read(async () => {
      const member = await this.#shelf.firstAfter(publicKey(registry, digest), range.prefix)
      return startsWith(member, range.prefix) ? unpackBlob(names.behindPublic(range, member)) : undefined
    }, undefined)
  }

  async holdersOf(digest: Digest, limit: number): Promise<readonly RepositoryKey[]> {
    const range = ranges.holders(digest)
    return this.#read(async () => {
      const found: RepositoryKey[] = []
      for await (const members of this.#shelf.pages(holdersKey(digest), range))
        for (const member of members) {
          if (found.length >= limit) return found
          const repository = splitText(range.prefix, member).text as RepositoryName
          found.push({ registry: localRegistry, repository })
        }
      return found
    }, [])
  }

  async referrers(
    key: RepositoryKey,
    subject: Digest,
    { last, limit }: Page<Digest>,
  ): Promise<Answer<readonly Descriptor[]>> {
    const range = ranges.referrers(subject)
    return this.#whole(
      key,
      { referrersOf: subject },
      {
        range,
        from: afterDigest(range, last),
        limit,
        read: member => {
          const { rest } = unpackDigest(member.subarray(range.prefix.length))
          const packed = this.#current(key, rest)
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
    return this.#read(async () => {
      const member = await this.#shelf.firstAfter(listingKey('manifests', key), range.prefix)
      if (!startsWith(member, range.prefix)) return undefined
      return unpackNumber(member.subarray(range.prefix.length + hintBytes))
    }, undefined)
  }

  async parentsOf(key: RepositoryKey, child: Digest): Promise<Answer<readonly Digest[]>> {
    const range = ranges.parents(child)
    const hints = await this.#whole(key, 'manifests', {
      range,
      from: range.prefix,
      limit: Number.POSITIVE_INFINITY,
      read: member => member.subarray(range.prefix.length, range.prefix.length + hintBytes),
    })
    if (hints.answer !== 'present') return hints
    return this.#each(hints.value, hint => this.#heldManifest(key, names.hinted(hint)))
  }

  async listing(
    key: RepositoryKey,
    kind: 'tags' | 'referrers',
    query: string,
  ): Promise<ListingEntry | undefined> {
    return this.#read(() => this.#bodies.get(key, kind, query), undefined)
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
    return this.#read(() => this.#names.registries(), [])
  }

  async repositories(registry: string, page: Page): Promise<Answer<readonly RepositoryName[]>> {
    return this.#read<Answer<readonly RepositoryName[]>>(async () => {
      const found = await this.#names.page(registry, page, this.#stampOf({ registry }))
      return found ? { answer: 'present', value: found } : unknown
    }, unknown)
  }

  async putRepository(key: RepositoryKey): Promise<void> {
    await this.#names.put(key, this.#stampOf(key))
  }

  async dropRepository(key: RepositoryKey): Promise<void> {
    await this.#names.drop(key)
  }

  async markRepositoriesComplete(epoch = this.epoch): Promise<void> {
    const era = this.#shelf.era.stamp
    const own = this.#stamp
    if (!era || epoch !== this.epoch) return
    await this.#read(() => this.#names.sweep(era, own), undefined)
    if (epoch === this.epoch) await this.#names.mark(era, own)
  }

  async markComplete(key: RepositoryKey, what: Whole, epoch = this.epoch): Promise<void> {
    const stamp = this.#markStamp(key, this.#shelf.era.stamp)
    if (!stamp || epoch !== this.epoch) return
    await this.#read(() => this.#sweep(key, what), undefined)
    if (epoch !== this.epoch) return
    await this.#shelf.put(keyOfWhole(what, key), lifeOf(key.registry), [[markName(what), stamp]])
  }

  async markIncomplete(key: RepositoryKey, what: Whole): Promise<void> {
    const marks = typeof what === 'string' ? [markName(what)] : [markName(what), markName('referrers')]
    await this.#shelf.drop(keyOfWhole(what, key), marks)
  }

  renew(): void {
    this.#own = randomBytes(stampBytes)
    this.#incarnation = this.#redis.incarnation
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

  /** A Redis that was lost for a moment may be one that forgot what was written last: all that is local is put anew. */
  get #stamp(): Buffer {
    if (this.#incarnation !== this.#redis.incarnation) this.renew()
    return this.#own
  }

  #stampOf({ registry }: Pick<RepositoryKey, 'registry'>): Buffer {
    return registry === localRegistry ? this.#stamp : nothing
  }

  #markStamp(key: RepositoryKey, era: Buffer | undefined): Buffer | undefined {
    return era && Buffer.concat([this.#stampOf(key), era])
  }

  /** What stands behind the stamp; undefined when it is of another epoch. */
  #current(key: RepositoryKey, value: Buffer): Buffer | undefined {
    const stamp = this.#stampOf(key)
    return value.subarray(0, stamp.length).equals(stamp) ? value.subarray(stamp.length) : undefined
  }

  async #put(key: RepositoryKey, listing: Listing, name: Buffer, packed: Buffer): Promise<void> {
    const value = Buffer.concat([this.#stampOf(key), packed])
    await this.#shelf.put(listingKey(listing, key), lifeOf(key.registry), [[name, value]])
  }

  #setTag(key: RepositoryKey, tag: Tag, value: Buffer): Promise<void> {
    const hintAt = this.#stampOf(key).length
    const args = [names.tag(tag), value, hintAt + 1, hintAt + hintBytes, tag]
    return this.#shelf.write(listingKey('tags', key), (client, full) =>
      client.eval(setTag, 1, full, lifeOf(key.registry) ?? '', ...args),
    )
  }

  /** Where blobs are found without their repository. */
  #putElsewhere({ registry, repository }: RepositoryKey, digest: Digest, entry: BlobEntry): Promise<void> {
    const key = { registry, repository }
    if (registry === localRegistry)
      return this.#shelf.put(holdersKey(digest), undefined, [[names.holder(digest, repository), nothing]])
    if (!entry.isPublic) return this.#dropElsewhere(key, digest)
    const pair = [names.publicBlob(digest, key), packBlob(entry)] as const
    return this.#shelf.put(publicKey(registry, digest), proxiedLifeMs, [pair])
  }

  #dropElsewhere(key: RepositoryKey, digest: Digest): Promise<void> {
    return key.registry === localRegistry
      ? this.#shelf.drop(holdersKey(digest), [names.holder(digest, key.repository)])
      : this.#shelf.drop(publicKey(key.registry, digest), [names.publicBlob(digest, key)])
  }

  async #entry<T>(
    key: RepositoryKey,
    { listing, name, unpack }: { listing: Listing; name: Buffer; unpack: (packed: Buffer) => T },
  ): Promise<Answer<T>> {
    const answer = (value: Buffer): Answer<T> => {
      const packed = this.#current(key, value)
      return packed ? { answer: 'present', value: unpack(packed) } : unknown
    }
    return this.#read<Answer<T>>(async () => {
      const at = listingKey(listing, key)
      const value = await this.#shelf.value(at, name)
      if (value) return answer(value)
      const part = { from: name, to: endOf(name), limit: 1 }
      const { isWhole, members } = await this.#part(key, listing, part)
      const [member] = members // it may have come meanwhile
      if (member) return answer(member.subarray(name.length))
      return isWhole ? absent : unknown
    }, unknown)
  }

  /** Members that `read` knows, under the mark. */
  #whole<T>(
    key: RepositoryKey,
    what: Whole,
    {
      range,
      from,
      limit,
      read,
    }: { range: Range; from: Buffer; limit: number; read: (member: Buffer) => T | undefined },
  ): Promise<Answer<readonly T[]>> {
    return this.#read<Answer<readonly T[]>>(async () => {
      const found: T[] = []
      const to = endOf(range.prefix)
      for (let next = from; ; ) {
        const wanted = Math.min(Math.max(limit - found.length, 0), membersAtOnce)
        const { isWhole, members } = await this.#part(key, what, { from: next, to, limit: wanted })
        if (!isWhole) return unknown
        for (const member of members) {
          const one = read(member)
          if (one !== undefined) found.push(one)
        }
        const last = members.at(-1)
        if (!last || members.length < wanted || found.length >= limit)
          return { answer: 'present', value: found }
        next = Buffer.concat([last, Buffer.of(0)])
      }
    }, unknown)
  }

  async #part(
    key: RepositoryKey,
    what: Whole,
    part: Part,
  ): Promise<{ isWhole: boolean; members: readonly Buffer[] }> {
    const marks = [markName(what), ...(typeof what === 'string' ? [] : [markName('referrers')])]
    const { era, marks: stamps, members } = await this.#shelf.part(keyOfWhole(what, key), part, marks)
    const stamp = this.#markStamp(key, era)
    return { isWhole: stamp !== undefined && stamps.some(each => each?.equals(stamp)), members }
  }

  /** A manifest of this epoch whose name begins so. */
  async #heldManifest(key: RepositoryKey, name: Buffer): Promise<Digest | undefined> {
    const member = await this.#shelf.firstAfter(listingKey('manifests', key), name)
    if (!startsWith(member, name)) return undefined
    const { digest, rest } = unpackDigest(member.subarray(ranges.manifests.prefix.length))
    return this.#current(key, rest) && digest
  }

  /** What each leads to, where it leads anywhere; a few at a time. */
  #each<F, T>(given: readonly F[], find: (one: F) => Promise<T | undefined>): Promise<Answer<readonly T[]>> {
    return this.#read<Answer<readonly T[]>>(async () => {
      const found: T[] = []
      for (let at = 0; at < given.length; at += membersAtOnce) {
        const some = await Promise.all(given.slice(at, at + membersAtOnce).map(find))
        found.push(...some.filter(one => one !== undefined))
      }
      return { answer: 'present', value: found }
    }, unknown)
  }

  /** Drops what is left of earlier epochs. */
  async #sweep(key: RepositoryKey, what: Whole): Promise<void> {
    if (key.registry !== localRegistry || what === 'referrers') return // so many subjects: passed over when they are read
    const listing = typeof what === 'string' ? what : 'referrers'
    const range =
      typeof what === 'string'
        ? ranges[what as 'tags' | 'manifests' | 'blobs']
        : ranges.referrers(what.referrersOf)
    for await (const members of this.#shelf.pages(listingKey(listing, key), range)) {
      for (const member of members) await this.#dropOutdated(key, what, { range, member })
    }
  }

  async #dropOutdated(
    key: RepositoryKey,
    what: Whole,
    { range, member }: { range: Range; member: Buffer },
  ): Promise<void> {
    const { length } = range.prefix
    if (what === 'tags') {
      const { text, value } = splitText(range.prefix, member)
      if (!this.#current(key, value)) await this.dropTag(key, text as Tag)
      return
    }
    const { digest, rest } = unpackDigest(member.subarray(length))
    if (this.#current(key, rest)) return
    if (what === 'blobs') await this.dropBlob(key, digest)
    else if (what === 'manifests') await this.dropManifest(key, digest)
    else if (typeof what !== 'string') await this.dropReferrer(key, what.referrersOf, digest)
  }

  async #read<T>(read: () => Promise<T>, otherwise: T): Promise<T> {
    try {
      return await read()
    } catch (error) {
      if (error instanceof RedisDown || error instanceof Damaged) return otherwise
      throw error
    }
  }
}

function startsWith(member: Buffer | undefined, name: Buffer): member is Buffer {
  return member?.subarray(0, name.length).equals(name) === true
}

function afterDigest({ prefix }: Range, last: Digest | undefined): Buffer {
  return last === undefined ? prefix : endOf(Buffer.concat([prefix, packDigest(last)]))
}
