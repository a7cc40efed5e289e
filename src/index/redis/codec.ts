/** Entries as few bytes: what stays below 64 with its name lies in Redis without an overhead of its own. */
import { type Digest, digestFromBytes, hexOf } from '../../oci/digest.ts'
import type { Descriptor } from '../../oci/manifest.ts'
import { mediaTypes } from '../../oci/media-type.ts'
import type { BlobEntry, ManifestEntry, TagEntry } from '../index.ts'

/** The value is none that this version wrote. */
export class Damaged extends Error {
  override readonly name = 'Damaged'
}

/** Codes are for ever: new types go to the end. */
const types: readonly string[] = [
  mediaTypes.ociIndex,
  mediaTypes.ociManifest,
  mediaTypes.dockerList,
  mediaTypes.dockerManifest,
  mediaTypes.ociArtifact,
  mediaTypes.orasArtifact,
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
  'application/vnd.oci.empty.v1+json',
  'application/vnd.cncf.helm.config.v1+json',
]
/** Instead of a code: the text follows, or there is none. */
const spelledOut = 0xfe
const noType = 0xff

const bytesOf = { sha256: 32, sha512: 64 } as const
const algorithms = ['sha256', 'sha512'] as const
/** Of a digest, with the byte of its algorithm. */
export const hintBytes = 17

const hasSize = 1
const isMissing = 2
const isPublic = 4
const wasPulled = 8
const hasMore = 16

/** A byte for the algorithm, never 0, and the hash: in the order of the texts. */
export function packDigest(digest: Digest): Buffer {
  const packed = Buffer.from(`00${hexOf(digest)}`, 'hex')
  packed[0] = digest.startsWith('sha512:') ? 2 : 1
  return packed
}

/** The beginning of a packed digest: enough to find what it points at, in less room. */
export function hintOf(digest: Digest): Buffer {
  return packDigest(digest).subarray(0, hintBytes)
}

/** The digest that bytes begin with, and what follows. @throws Damaged */
export function unpackDigest(packed: Buffer): { digest: Digest; rest: Buffer } {
  const algorithm = algorithms[(packed[0] ?? 0) - 1]
  const end = algorithm === undefined ? 0 : 1 + bytesOf[algorithm]
  if (algorithm === undefined || packed.length < end) throw new Damaged('no digest')
  return { digest: digestFromBytes(algorithm, packed.subarray(1, end)), rest: packed.subarray(end) }
}

/** Begins with the packed digest. */
export function packTag(entry: TagEntry): Buffer {
  const { digest, mediaType, size, movedAt, checkedAt, missingSince } = entry
  const flags = (size === undefined ? 0 : hasSize) | (missingSince === undefined ? 0 : isMissing)
  return Buffer.concat([
    packDigest(digest),
    Buffer.of(flags),
    packType(mediaType),
    packNumbers(size, movedAt, checkedAt - movedAt, missingSince),
  ])
}

/** @throws Damaged */
export function unpackTag(packed: Buffer): TagEntry {
  const { digest, rest } = unpackDigest(packed)
  const reader = new Reader(rest)
  const flags = reader.byte()
  const mediaType = reader.type() ?? ''
  const size = flags & hasSize ? reader.number() : undefined
  const movedAt = reader.number()
  const checkedAt = movedAt + reader.number()
  const missingSince = flags & isMissing ? reader.number() : undefined
  return { digest, mediaType, size, movedAt, checkedAt, missingSince }
}

export function packManifest(entry: ManifestEntry): Buffer {
  const { mediaType, size, artifactType, subject, annotations, at, pulledAt } = entry
  const more = subject !== undefined || annotations !== undefined
  const flags =
    (entry.isPublic ? isPublic : 0) | (pulledAt === undefined ? 0 : wasPulled) | (more ? hasMore : 0)
  return Buffer.concat([
    Buffer.of(flags),
    packType(mediaType),
    packType(artifactType),
    packNumbers(size, at, pulledAt === undefined ? undefined : pulledAt - at),
    ...(more ? [Buffer.from(JSON.stringify({ subject, annotations }))] : []),
  ])
}

/** @throws Damaged */
export function unpackManifest(packed: Buffer): ManifestEntry {
  const reader = new Reader(packed)
  const flags = reader.byte()
  const mediaType = reader.type() ?? ''
  const artifactType = reader.type()
  const size = reader.number()
  const at = reader.number()
  const pulledAt = flags & wasPulled ? at + reader.number() : undefined
  const { subject, annotations } = (flags & hasMore ? reader.json() : {}) as Partial<ManifestEntry>
  const is = { isPublic: (flags & isPublic) !== 0 }
  return { mediaType, size, artifactType, subject, annotations, at, pulledAt, ...is }
}

export function packBlob({ size, isPublic: isForAll }: BlobEntry): Buffer {
  const flags = (isForAll ? isPublic : 0) | (size === undefined ? 0 : hasSize)
  return Buffer.concat([Buffer.of(flags), packNumbers(size)])
}

/** @throws Damaged */
export function unpackBlob(packed: Buffer): BlobEntry {
  const reader = new Reader(packed)
  const flags = reader.byte()
  const size = flags & hasSize ? reader.number() : undefined
  return { size, isPublic: (flags & isPublic) !== 0 }
}

export function packDescriptor(descriptor: Descriptor): Buffer {
  return Buffer.from(JSON.stringify(descriptor))
}

/** @throws Damaged */
export function unpackDescriptor(packed: Buffer): Descriptor {
  return new Reader(packed).json() as Descriptor
}

/** @throws Damaged */
export function unpackNumber(packed: Buffer): number {
  return new Reader(packed).number()
}

/** Seven bits a byte, the sign in the lowest; what is undefined takes no room. */
export function packNumbers(...numbers: readonly (number | undefined)[]): Buffer {
  const bytes: number[] = []
  for (const number of numbers) {
    if (number === undefined) continue
    let left = (BigInt(Math.abs(number)) << 1n) | (number < 0 ? 1n : 0n)
    for (; left > 0x7fn; left >>= 7n) bytes.push(Number(left & 0x7fn) | 0x80)
    bytes.push(Number(left))
  }
  return Buffer.from(bytes)
}

function packType(type: string | undefined): Buffer {
  if (type === undefined) return Buffer.of(noType)
  const code = types.indexOf(type)
  if (code >= 0) return Buffer.of(code)
  const text = Buffer.from(type)
  return Buffer.concat([Buffer.of(spelledOut), packNumbers(text.length), text])
}

/** Everything throws Damaged beyond the end. */
class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  byte(): number {
    const byte = this.#bytes[this.#at]
    if (byte === undefined) throw new Damaged('too short')
    this.#at += 1
    return byte
  }

  number(): number {
    let number = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = BigInt(this.byte())
      number |= (byte & 0x7fn) << shift
      if (byte < 0x80n) break
    }
    const amount = Number(number >> 1n)
    return number & 1n ? -amount : amount
  }

  type(): string | undefined {
    const code = this.byte()
    if (code === noType) return undefined
    if (code !== spelledOut) return types[code] ?? unknownType(code)
    const length = this.number()
    const text = this.#bytes.toString('utf8', this.#at, this.#at + length)
    this.#at += length
    return text
  }

  json(): unknown {
    try {
      return JSON.parse(this.#bytes.toString('utf8', this.#at))
    } catch (cause) {
      throw new Damaged('not what was written', { cause })
    }
  }
}

function unknownType(code: number): never {
  throw new Damaged(`a later version's media type: ${code}`)
}
