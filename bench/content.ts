/** What the origin serves and the clients check: pseudo-random blobs of any size that cost no disk and little memory. */
import { createCipheriv, createHash, type Hash } from 'node:crypto'

export const KiB = 2 ** 10
export const MiB = 2 ** 20
export const GiB = 2 ** 30

/** Every blob repeats these; only its last block is its own. So a new GiB is hashed in no time. */
const blocks = makeBlocks(32)
const prefixes = new Map<number, Hash>()

export interface ContentSpec {
  /** Blobs of one size differ by it. */
  seed: number
  /** Bytes. */
  size: number
}

export class Content {
  readonly size: number
  readonly #last: Buffer
  readonly #lastIndex: number

  constructor({ seed, size }: ContentSpec) {
    this.size = size
    this.#lastIndex = Math.floor((size - 1) / MiB)
    this.#last = Buffer.from(sharedBlock(this.#lastIndex).subarray(0, size - this.#lastIndex * MiB))
    this.#last.writeDoubleLE(seed, 0)
  }

  get sha256(): string {
    return prefix(this.#lastIndex).update(this.#last).digest('hex')
  }

  /** The bytes from `position` to the end of their block, at most `max`. No copy. */
  at(position: number, max: number): Buffer {
    const index = Math.floor(position / MiB)
    const block = index === this.#lastIndex ? this.#last : sharedBlock(index)
    return block.subarray(position - index * MiB, position - index * MiB + max)
  }

  /** Whether these bytes belong at this position. */
  matches(position: number, bytes: Buffer): boolean {
    if (position + bytes.length > this.size) return false
    for (let done = 0; done < bytes.length; ) {
      const expected = this.at(position + done, bytes.length - done)
      if (!expected.equals(bytes.subarray(done, done + expected.length))) return false
      done += expected.length
    }
    return true
  }
}

function sharedBlock(index: number): Buffer {
  return blocks[index % blocks.length] ?? Buffer.alloc(0)
}

function prefix(count: number): Hash {
  let hash = prefixes.get(count)
  if (!hash) {
    hash = createHash('sha256')
    for (let index = 0; index < count; index += 1) hash.update(sharedBlock(index))
    prefixes.set(count, hash)
  }
  return hash.copy()
}

function makeBlocks(count: number): Buffer[] {
  const stream = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16))
  return Array.from({ length: count }, () => stream.update(Buffer.alloc(MiB)))
}
