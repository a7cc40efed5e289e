/** What earlier epochs left of a local repository. */
import type { Digest } from '../../oci/digest.ts'
import type { RepositoryKey, Whole } from '../index.ts'
import { hintBytes, unpackDigest } from './codec.ts'
import type { Elsewhere } from './elsewhere.ts'
import { keyOfWhole, names, type Range, ranges, splitText } from './keys.ts'
import type { Shelf } from './shelf.ts'
import type { Stamps } from './stamps.ts'

/** How a listing is read. */
interface Way {
  readonly range: Range
  readonly valueIn: (member: Buffer) => Buffer
  /** Another member that points at it; empty: none does. */
  readonly pointer: (member: Buffer, value: Buffer) => Buffer
}

export interface Swept {
  readonly shelf: Shelf
  readonly stamps: Stamps
  readonly elsewhere: Elsewhere
}

const nothing = Buffer.alloc(0)

/** Drops it, and nothing that is put meanwhile. @throws RedisDown, Damaged */
export async function sweep(
  key: RepositoryKey,
  what: Whole,
  { shelf, stamps, elsewhere }: Swept,
): Promise<void> {
  const { range, valueIn, pointer } = wayOf(key, what, stamps)
  const listing = keyOfWhole(what, key)
  for await (const members of shelf.pages(listing, range)) {
    const outdated = members.filter(member => !stamps.current(key, valueIn(member)))
    await shelf.dropExactly(
      listing,
      outdated.map(member => [member, pointer(member, valueIn(member))] as const),
    )
    if (what !== 'blobs') continue
    for (const member of outdated) {
      const digest = digestIn(range, member)
      if (!(await shelf.value(listing, names.blob(digest)))) await elsewhere.drop(key, digest)
    }
  }
}

function wayOf(key: RepositoryKey, what: Whole, stamps: Stamps): Way {
  if (what === 'tags') {
    const hintAt = stamps.of(key).length
    const { prefix } = ranges.tags
    return {
      range: ranges.tags,
      valueIn: member => splitText(prefix, member).value,
      pointer: (member, value) =>
        names.tagged(value.subarray(hintAt, hintAt + hintBytes), splitText(prefix, member).text),
    }
  }
  if (what === 'referrers') {
    const { prefix } = ranges.subjects
    return {
      range: ranges.subjects,
      valueIn: member => unpackDigest(unpackDigest(member.subarray(prefix.length)).rest).rest,
      pointer: () => nothing,
    }
  }
  const range = typeof what === 'string' ? ranges[what] : ranges.referrers(what.referrersOf)
  return {
    range,
    valueIn: member => unpackDigest(member.subarray(range.prefix.length)).rest,
    pointer: () => nothing,
  }
}

function digestIn({ prefix }: Range, member: Buffer): Digest {
  return unpackDigest(member.subarray(prefix.length)).digest
}
