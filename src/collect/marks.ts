/** A set of digests in little memory. It may take one for a member that is none, never the other way round. */
import { randomBytes } from 'node:crypto'
import { type Digest, hexOf } from '../oci/digest.ts'

const bitsPerDigest = 16
/** So many places of each digest: one of a few thousand others is taken for a member. */
const places = 8
const minBits = 2 ** 13
/** 64 MiB. What has more digests than fit keeps more garbage. */
const maxBits = 2 ** 29

/**
 * A Bloom filter. Its seed differs each time, so that what one collection takes for a member by mistake the next one
 * does not.
 */
export class Marks {
  readonly #bits: Uint8Array
  readonly #mask: number
  readonly #seeds: readonly [number, number]

  /** @param expected so many digests at most, or mistakes get more frequent */
  constructor(expected: number, seed: Buffer = randomBytes(8)) {
    const wanted = 2 ** Math.ceil(Math.log2(Math.max(1, expected) * bitsPerDigest))
    const bits = Math.min(maxBits, Math.max(minBits, wanted))
    this.#bits = new Uint8Array(bits / 8)
    this.#mask = bits - 1
    this.#seeds = [seed.readUInt32LE(0), seed.readUInt32LE(4)]
  }

  add(digest: Digest): void {
    const [first, step] = this.#hash(digest)
    for (let at = first, n = 0; n < places; n += 1, at += step) {
      const bit = at & this.#mask
      const byte = bit >>> 3
      this.#bits[byte] = (this.#bits[byte] ?? 0) | (1 << (bit & 7))
    }
  }

  has(digest: Digest): boolean {
    const [first, step] = this.#hash(digest)
    for (let at = first, n = 0; n < places; n += 1, at += step) {
      const bit = at & this.#mask
      if (((this.#bits[bit >>> 3] ?? 0) & (1 << (bit & 7))) === 0) return false
    }
    return true
  }

  /** A digest is random enough to be its own hash; the seed makes another one of it. */
  #hash(digest: Digest): [first: number, step: number] {
    const hex = hexOf(digest)
    const [one, other] = this.#seeds
    const first = mixed(Number.parseInt(hex.slice(0, 8), 16) ^ one)
    const step = mixed(Number.parseInt(hex.slice(8, 16), 16) ^ other)
    return [first >>> 0, (step | 1) >>> 0]
  }
}

/** The finalizer of MurmurHash3. */
function mixed(value: number): number {
  let hash = value
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
