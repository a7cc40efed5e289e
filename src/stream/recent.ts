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

  /** The rest of the chunk that holds the position, if it is still here. */
  at(position: number): Buffer | undefined {
    let start = this.#start
    if (position < start) return undefined
    for (const chunk of this.#chunks) {
      if (position < start + chunk.length) return chunk.subarray(position - start)
      start += chunk.length
    }
    return undefined
  }
}
