/** Byte contents that can be read from any position and need neither disk nor memory of their size. */
import { createHash } from 'node:crypto'
import { type Algorithm, type Digest, digestFrom } from '../../src/oci/digest.ts'

export interface Content {
  readonly size: number
  /** The bytes from `first` up to, not including, `end`. */
  chunks(first: number, end: number): Iterable<Buffer>
}

export interface StoredBlob {
  readonly digest: Digest
  readonly size: number
  readonly content: Content
}

const blockBytes = 1024 * 1024
const chunkBytes = 256 * 1024
const stampBytes = 8

export function bufferContent(bytes: Buffer): Content {
  return {
    size: bytes.length,
    *chunks(first, end) {
      for (let at = first; at < end; at += chunkBytes)
        yield bytes.subarray(at, Math.min(end, at + chunkBytes))
    },
  }
}

/**
 * Pseudo-random bytes: one block of 1 MiB over and over, each repetition stamped with its number,
 * so that no two blocks are alike and nothing is copied.
 */
export function seededContent(seed: string, size: number): Content {
  const block = pseudoRandom(seed, Math.min(size, blockBytes))
  return {
    size,
    *chunks(first, end) {
      let at = first
      while (at < end) {
        const number = Math.floor(at / blockBytes)
        const offset = at % blockBytes
        const piece =
          number > 0 && offset < stampBytes
            ? stamp(number).subarray(offset)
            : block.subarray(offset, Math.min(offset + chunkBytes, blockBytes))
        const wanted = piece.subarray(0, end - at)
        yield wanted
        at += wanted.length
      }
    },
  }
}

export function readContent(content: Content, first = 0, end = content.size): Buffer {
  return Buffer.concat([...content.chunks(first, end)])
}

export function blobOf(bytes: Buffer | string, algorithm: Algorithm = 'sha256'): StoredBlob {
  return storedBlob(bufferContent(Buffer.from(bytes)), algorithm)
}

/** A blob of any size by seed; the digest of each is computed once a process. */
export function seededBlob(seed: string, size: number, algorithm: Algorithm = 'sha256'): StoredBlob {
  const key = `${algorithm} ${size} ${seed}`
  const known = seededBlobs.get(key)
  if (known) return known
  const blob = storedBlob(seededContent(seed, size), algorithm)
  seededBlobs.set(key, blob)
  return blob
}

const seededBlobs = new Map<string, StoredBlob>()

function storedBlob(content: Content, algorithm: Algorithm): StoredBlob {
  const hash = createHash(algorithm)
  for (const chunk of content.chunks(0, content.size)) hash.update(chunk)
  return { digest: digestFrom(algorithm, hash), size: content.size, content }
}

function stamp(number: number): Buffer {
  const bytes = Buffer.alloc(stampBytes)
  bytes.writeBigUInt64BE(BigInt(number))
  return bytes
}

/** Mulberry32 over a hash of the seed: fast, and the same on every machine. */
function pseudoRandom(seed: string, size: number): Buffer {
  let state = createHash('sha256').update(seed).digest().readUInt32LE()
  const bytes = Buffer.alloc(Math.ceil(size / 4) * 4)
  for (let at = 0; at < bytes.length; at += 4) {
    state = (state + 0x6d2b79f5) | 0
    let word = Math.imul(state ^ (state >>> 15), 1 | state)
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word
    bytes.writeUInt32LE((word ^ (word >>> 14)) >>> 0, at)
  }
  return bytes.subarray(0, size)
}
