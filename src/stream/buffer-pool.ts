/** Read buffers lent to responses, so that a thousand readers do not mean a thousand large allocations. */

/** Buffers of one size. */
interface Shelf {
  readonly bytes: number
  readonly free: Buffer[]
  /** How many may still be made. */
  left: number
}

const kiB = 1024

export class BufferPool {
  /** From small to large. */
  readonly #shelves: readonly Shelf[]

  /** @param sizes bytes of a buffer, and how many of them are made at most */
  constructor(
    sizes: readonly (readonly [bytes: number, count: number])[] = [
      [256 * kiB, 64],
      [1024 * kiB, 4],
    ],
  ) {
    this.#shelves = sizes.map(([bytes, left]) => ({ bytes, free: [], left }))
  }

  /** A buffer that has room for so many bytes, or the largest there is; undefined when all are lent. */
  lend(bytes: number): Buffer | undefined {
    const shelves = this.#shelves.filter(({ free, left }) => free.length > 0 || left > 0)
    const shelf = shelves.find(one => one.bytes >= bytes) ?? shelves.at(-1)
    if (!shelf) return undefined
    const free = shelf.free.pop()
    if (free) return free
    shelf.left -= 1
    return Buffer.allocUnsafeSlow(shelf.bytes)
  }

  giveBack(buffer: Buffer): void {
    this.#shelves.find(({ bytes }) => bytes === buffer.length)?.free.push(buffer)
  }
}
