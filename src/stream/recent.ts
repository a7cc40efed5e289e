/** The last bytes that went through a growing file, still in memory for readers who are close behind. */
import { letGo } from './bytes.ts'

/** Bytes that are read. */
export interface Lease {
  /** None if the bytes are not here any more. */
  readonly chunks: readonly Buffer[]
  /** Nobody looks at them any more. Not to be called when that is not certain: then the collector takes them. */
  release(): void
}

interface Kept {
  readonly chunk: Buffer
  leases: number
  /** No later reader finds it. */
  isPast: boolean
}

const nothing: Lease = { chunks: [], release: () => {} }

export class Recent {
  readonly #capacity: number
  readonly #kept: Kept[] = []
  /** Position of the first byte of the first chunk. */
  #start = 0
  #end = 0

  /** @param capacity bytes to keep at most, rounded up to a whole chunk */
  constructor(capacity: number) {
    this.#capacity = capacity
  }

  /** The chunks now end at `end` in the file. They are ours: their memory is given back when nobody reads them any more. */
  push(chunks: readonly Buffer[], end: number): void {
    for (const chunk of chunks) {
      this.#kept.push({ chunk, leases: 0, isPast: false })
      this.#end += chunk.length
    }
    this.#start += end - this.#end // a jump: what was there before is of no use
    this.#end = end
    for (
      let [first] = this.#kept;
      first && this.#end - this.#start - first.chunk.length >= this.#capacity;
      [first] = this.#kept
    ) {
      this.#kept.shift()
      this.#start += first.chunk.length
      first.isPast = true
      giveBack(first)
    }
  }

  /** The bytes from the position on, `count` at most. */
  from(position: number, count: number): Lease {
    if (position < this.#start || position >= this.#end) return nothing
    const chunks: Buffer[] = []
    const leased: Kept[] = []
    let skip = position - this.#start
    for (const kept of this.#kept) {
      if (count <= 0) break
      const part = kept.chunk.subarray(skip, skip + count)
      skip = Math.max(0, skip - kept.chunk.length)
      count -= part.length
      if (part.length === 0) continue
      chunks.push(part)
      leased.push(kept)
      kept.leases += 1
    }
    return { chunks, release: () => leased.splice(0).forEach(release) }
  }
}

function release(kept: Kept): void {
  kept.leases -= 1
  giveBack(kept)
}

function giveBack({ chunk, leases, isPast }: Kept): void {
  if (isPast && leases === 0) letGo([chunk])
}
