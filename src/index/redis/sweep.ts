/** What earlier epochs left of a local repository. */
import type { Digest } from '../../oci/digest.ts'
import type { Tag } from '../../oci/name.ts'
import type { Index, RepositoryKey, Whole } from '../index.ts'
import { unpackDigest } from './codec.ts'
import { keyOfWhole, type Range, ranges, splitText } from './keys.ts'
import type { Shelf } from './shelf.ts'
import type { Stamps } from './stamps.ts'

type Drops = Pick<Index, 'dropTag' | 'dropManifest' | 'dropBlob' | 'dropReferrer'>

/** How a listing is read, and one of its entries dropped. */
interface Way {
  readonly range: Range
  readonly split: (member: Buffer) => { name: string; value: Buffer }
  readonly drop: (name: string) => Promise<void>
}

/** Drops it. @throws RedisDown, Damaged */
export async function sweep(
  key: RepositoryKey,
  what: Exclude<Whole, 'referrers'>,
  { shelf, stamps, index }: { shelf: Shelf; stamps: Stamps; index: Drops },
): Promise<void> {
  const { range, split, drop } = wayOf(key, what, index)
  for await (const members of shelf.pages(keyOfWhole(what, key), range)) {
    for (const { name, value } of members.map(split)) if (!stamps.current(key, value)) await drop(name)
  }
}

function wayOf(key: RepositoryKey, what: Exclude<Whole, 'referrers'>, index: Drops): Way {
  if (what === 'tags')
    return {
      range: ranges.tags,
      split: member => {
        const { text, value } = splitText(ranges.tags.prefix, member)
        return { name: text, value }
      },
      drop: name => index.dropTag(key, name as Tag),
    }
  if (what === 'manifests') return byDigest(ranges.manifests, digest => index.dropManifest(key, digest))
  if (what === 'blobs') return byDigest(ranges.blobs, digest => index.dropBlob(key, digest))
  const { referrersOf } = what
  return byDigest(ranges.referrers(referrersOf), digest => index.dropReferrer(key, referrersOf, digest))
}

function byDigest(range: Range, drop: (digest: Digest) => Promise<void>): Way {
  return {
    range,
    split: member => {
      const { digest, rest } = unpackDigest(member.subarray(range.prefix.length))
      return { name: digest, value: rest }
    },
    drop: name => drop(name as Digest),
  }
}
