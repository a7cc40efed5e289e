/** Read buffers lent to responses, so that a thousand readers do not mean a thousand large allocations. */

export class BufferPool {
  readonly #size: number
  readonly #smallSize: number
  readonly #free: Buffer[] = []
  #left: number

  /**
   * @param size bytes of a lent buffer
   * @param count how many are made at most
   * @param smallSize bytes of the private buffer that a borrower gets when none is left
   */
  constructor({ size = 256 * 1024, count = 128, smallSize = 64 * 1024 } = {}) {
    this.#size = size
    this.#smallSize = smallSize
    this.#left = count
  }

  /** Never waits: an exhausted pool answers with a small private buffer. */
  lend(): Buffer {
    const free = this.#free.pop()
    if (free) return free
    if (this.#left === 0) return Buffer.allocUnsafeSlow(this.#smallSize)
    this.#left -= 1
    return Buffer.allocUnsafeSlow(this.#size)
  }

  giveBack(buffer: Buffer): void {
    if (buffer.length === this.#size) this.#free.push(buffer)
  }
}
