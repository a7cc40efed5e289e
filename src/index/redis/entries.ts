/** Reads of entries and listings: present, absent under the mark, or unknown. */
import { RedisDown } from '../../cluster/redis/redis.ts'
import type { Digest } from '../../oci/digest.ts'
import { localRegistry } from '../../store/layout.ts'
import type { Answer, Listing, Page, RepositoryKey, Whole } from '../index.ts'
import { Damaged, unpackDigest } from './codec.ts'
import { afterDigest, endOf, keyOfWhole, listingKey, markName, type Range } from './keys.ts'
import type { Part, Shelf } from './shelf.ts'
import type { Stamps } from './stamps.ts'

const absent = { answer: 'absent' } as const
const unknown = { answer: 'unknown' } as const
/** Members that one script gives at most. */
const membersAtOnce = 1000

/** What is read and written beside single entries works with all of it. */
export interface EntryDeps {
  readonly shelf: Shelf
  readonly stamps: Stamps
  readonly entries: Entries
}

/** What is asked of a listing: what `read` makes of its members. */
export interface Wanted<T> {
  readonly range: Range
  readonly from: Buffer
  readonly limit: number
  /** Throws Damaged for what cannot be believed: then nothing is. */
  readonly read: (member: Buffer) => T
}

export interface WantedByDigest<T> {
  readonly range: Range
  readonly page: Page<Digest>
  readonly read: (digest: Digest, packed: Buffer) => T
}

/** Another answer where Redis gives none, or one that cannot be read. */
export async function answerOr<T>(read: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof RedisDown || error instanceof Damaged) return otherwise
    throw error
  }
}

export class Entries {
  readonly #shelf: Shelf
  readonly #stamps: Stamps
  readonly #hasOwnRecords: boolean

  /** @param hasOwnRecords as for the index */
  constructor(shelf: Shelf, stamps: Stamps, hasOwnRecords: boolean) {
    this.#shelf = shelf
    this.#stamps = stamps
    this.#hasOwnRecords = hasOwnRecords
  }

  async entry<T>(
    key: RepositoryKey,
    { listing, name, unpack }: { listing: Listing; name: Buffer; unpack: (packed: Buffer) => T },
  ): Promise<Answer<T>> {
    const answer = (value: Buffer): Answer<T> => {
      const packed = this.#stamps.current(key, value)
      return packed ? { answer: 'present', value: unpack(packed) } : unknown
    }
    return answerOr<Answer<T>>(async () => {
      const at = listingKey(listing, key)
      const value = await this.#shelf.value(at, name)
      if (value) return answer(value)
      const part = { from: name, to: endOf(name), limit: 1 }
      const { isWhole, members } = await this.#part(key, listing, part)
      const [member] = members // it may have come meanwhile
      if (member) return answer(member.subarray(name.length))
      const isSure = isWhole && !(this.#hasOwnRecords && key.registry !== localRegistry)
      return isSure ? absent : unknown
    }, unknown)
  }

  /** Members under the mark. */
  whole<T>(
    key: RepositoryKey,
    what: Whole,
    { range, from, limit, read }: Wanted<T>,
  ): Promise<Answer<readonly T[]>> {
    return answerOr<Answer<readonly T[]>>(async () => {
      const found: T[] = []
      const to = endOf(range.prefix)
      for (let next = from; ; ) {
        const wanted = Math.min(Math.max(limit - found.length, 0), membersAtOnce)
        const { isWhole, members } = await this.#part(key, what, { from: next, to, limit: wanted })
        if (!isWhole) return unknown
        found.push(...members.map(read))
        const last = members.at(-1)
        if (!last || members.length < wanted || found.length >= limit)
          return { answer: 'present', value: found }
        next = Buffer.concat([last, Buffer.of(0)])
      }
    }, unknown)
  }

  /** As `whole`, of a listing whose names are digests. @param read with what stands behind the stamp */
  async byDigest<T>(
    key: RepositoryKey,
    what: Whole,
    { range, page, read }: WantedByDigest<T>,
  ): Promise<Answer<readonly T[]>> {
    return this.whole(key, what, {
      range,
      from: afterDigest(range, page.last),
      limit: page.limit,
      read: member => {
        const { digest, rest } = unpackDigest(member.subarray(range.prefix.length))
        return read(digest, this.#stamps.believed(key, rest))
      },
    })
  }

  async #part(
    key: RepositoryKey,
    what: Whole,
    part: Part,
  ): Promise<{ isWhole: boolean; members: readonly Buffer[] }> {
    const marks = [markName(what), ...(typeof what === 'string' ? [] : [markName('referrers')])]
    const { era, marks: stamps, members } = await this.#shelf.part(keyOfWhole(what, key), part, marks)
    const stamp = this.#stamps.mark(key, era)
    return { isWhole: stamp !== undefined && stamps.some(each => each?.equals(stamp)), members }
  }

  /** What each of those leads to, where it leads anywhere. All of it is of one epoch, or unknown. */
  async through<F, T>(
    key: RepositoryKey,
    what: Whole,
    wanted: Wanted<F>,
    find: (one: F) => Promise<T | undefined>,
  ): Promise<Answer<readonly T[]>> {
    const { own } = this.#stamps
    const given = await this.whole(key, what, wanted)
    if (given.answer !== 'present') return given
    return answerOr<Answer<readonly T[]>>(async () => {
      const found: T[] = []
      for (let at = 0; at < given.value.length; at += membersAtOnce) {
        const some = await Promise.all(given.value.slice(at, at + membersAtOnce).map(find))
        found.push(...some.filter(one => one !== undefined))
      }
      return own === this.#stamps.own ? { answer: 'present', value: found } : unknown
    }, unknown)
  }
}
