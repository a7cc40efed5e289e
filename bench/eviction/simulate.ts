/** Runs a policy over a trace and counts what the cache had. */
import type { Trace } from './trace.ts'

/** What decides who goes. Blobs are places in the trace's `sizes`. */
export interface Policy {
  /** It is here, and used again. */
  used(blob: number, atMs: number): void
  /** It came in, by being used. */
  added(blob: number, atMs: number): void
  /** Chooses who goes, and knows nothing more of it but what the policy remembers of the absent. */
  evict(atMs: number): number
  /** What is kept about uses is lost: sizes and times of arrival remain. */
  lose?(): void
  /** Wants to be told of every use, not of one a minute. */
  readonly everyUse?: true
}

export interface Setting {
  readonly sizes: readonly number[]
  readonly capBytes: number
  readonly trace: Trace
}

export type MakePolicy = (setting: Setting) => Policy

export interface Ratios {
  readonly bytes: number
  readonly objects: number
}

export interface SimulateOptions {
  /** Of a pull, which layers count as used: those asked for, or those that the client has too. */
  readonly useOf?: 'asked' | 'all'
  /** What is kept about uses is lost in the middle of the trace. */
  readonly loses?: boolean
}

/** A blob's uses within it are noted once. */
const noteEveryMs = 60_000
/** Of the trace: what comes before fills the cache and is not counted. */
const warmUpShare = 0.25

export function simulate(
  trace: Trace,
  capBytes: number,
  makePolicy: MakePolicy,
  { useOf = 'asked', loses = false }: SimulateOptions = {},
): Ratios {
  const { sizes, pulls } = trace
  const policy = makePolicy({ sizes, capBytes, trace })
  const cache = new Cache(sizes, capBytes, policy)
  const endMs = pulls.at(-1)?.atMs ?? 0
  const tally = new Tally()
  let losesAtMs = loses ? endMs / 2 : Number.POSITIVE_INFINITY

  for (const { atMs, asked, had } of pulls) {
    if (atMs >= losesAtMs) {
      policy.lose?.()
      losesAtMs = Number.POSITIVE_INFINITY
    }
    for (const blob of asked) {
      const isHit = cache.ask(blob, atMs)
      if (atMs >= endMs * warmUpShare) tally.count(sizes[blob] ?? 0, isHit)
    }
    if (useOf === 'all') for (const blob of had) cache.use(blob, atMs)
  }
  return tally.ratios
}

class Cache {
  readonly #sizes: readonly number[]
  readonly #capBytes: number
  readonly #policy: Policy
  readonly #here: Uint8Array
  readonly #notedMs: Float64Array
  #heldBytes = 0

  constructor(sizes: readonly number[], capBytes: number, policy: Policy) {
    this.#sizes = sizes
    this.#capBytes = capBytes
    this.#policy = policy
    this.#here = new Uint8Array(sizes.length)
    this.#notedMs = new Float64Array(sizes.length)
  }

  /** Whether it was here. */
  ask(blob: number, atMs: number): boolean {
    if (this.#here[blob] === 1) {
      this.use(blob, atMs)
      return true
    }
    this.#fetch(blob, atMs)
    return false
  }

  use(blob: number, atMs: number): void {
    if (this.#here[blob] !== 1) return
    if (!this.#policy.everyUse && atMs - (this.#notedMs[blob] ?? 0) < noteEveryMs) return
    this.#notedMs[blob] = atMs
    this.#policy.used(blob, atMs)
  }

  /** What is larger than the cache streams through. */
  #fetch(blob: number, atMs: number): void {
    const size = this.#sizes[blob] ?? 0
    if (size > this.#capBytes) return
    while (this.#heldBytes + size > this.#capBytes) {
      const victim = this.#policy.evict(atMs)
      this.#here[victim] = 0
      this.#heldBytes -= this.#sizes[victim] ?? 0
    }
    this.#here[blob] = 1
    this.#heldBytes += size
    this.#notedMs[blob] = atMs
    this.#policy.added(blob, atMs)
  }
}

class Tally {
  #requests = 0
  #hits = 0
  #bytes = 0
  #hitBytes = 0

  count(size: number, isHit: boolean): void {
    this.#requests += 1
    this.#bytes += size
    if (!isHit) return
    this.#hits += 1
    this.#hitBytes += size
  }

  get ratios(): Ratios {
    return { bytes: this.#hitBytes / this.#bytes, objects: this.#hits / this.#requests }
  }
}
