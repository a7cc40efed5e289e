/** The last bytes that went through a growing file, still in memory for readers who are close behind. */

export class Recent {
  readonly #capacity: number
  readonly #chunks: Buffer[] = []
  /** Position of the first byte of the first chunk. */
  #start = 0
  #end = 0

  /** @param capacity bytes to keep at most, rounded up to a whole chunk */
  constructor(capacity: number) {
    this.#capacity = capacity
  }

  /** The chunks now end at `end` in the file. They must not change any more. */
  push(chunks: readonly Buffer[], end: number): void {
    for (const chunk of chunks) {
      this.#chunks.push(chunk)
      this.#end += chunk.length
    }
    this.#start += end - this.#end // a jump: what was there before is of no use
    this.#end = end
    for (
      let [first] = this.#chunks;
      first && this.#end - this.#start - first.length >= this.#capacity;
      [first] = this.#chunks
    ) {
      this.#chunks.shift()
      this.#start += first.length
    }
  }

  /** The bytes from the position on, `count` at most; none if the position is not here any more. */
  from(position: number, count: number): readonly Buffer[] {
    if (position < this.#start) return []
    const found: Buffer[] = []
    let skip = position - this.#start
    for (const chunk of this.#chunks) {
      if (count <= 0) break
      const part = chunk.subarray(skip, skip + count)
      skip = Math.max(0, skip - chunk.length)
      count -= part.length
      if (part.length > 0) found.push(part)
    }
    return found
  }
}
