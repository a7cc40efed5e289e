/** How long others are followed who do not give what they are to do for all replicas. */
import type { Standing } from '../claims.ts'
import { PeerError } from './peer-error.ts'

export interface FollowingLimits {
  /** Failures of one holder that gave nothing, not counting silence. */
  readonly maxFailures: number
  /** How long holders are waited for that are there and say nothing. */
  readonly patienceMs: number
}

/** So many holders that give nothing are followed, one after the other. */
const maxHolders = 2

/**
 * Of one piece of work. A holder that fails too often is followed no more, and its claim may be taken over: one of its
 * followers does that, and the others find the new holder instead of each going its own way.
 */
export class Following {
  readonly #limits: FollowingLimits
  #standing: Standing | undefined
  #dead: Standing | undefined
  #failures = 0
  #givenUp = 0
  #since = performance.now()

  constructor(limits: FollowingLimits) {
    this.#limits = limits
  }

  /** Nobody else is to be followed any more. */
  get isOver(): boolean {
    return this.#givenUp >= maxHolders
  }

  /** The claim that may be taken over, told once. */
  takeDead(): Standing | undefined {
    const dead = this.#dead
    this.#dead = undefined
    return dead
  }

  follow(standing: Standing): void {
    this.#standing = standing
  }

  /** @param progressed it gave something before */
  failed(error: unknown, { progressed = false } = {}): void {
    if (progressed) this.#begin()
    else this.#count(error)
    if (isGone(error)) this.#dead = this.#standing
  }

  #begin(): void {
    this.#failures = 0
    this.#givenUp = 0
    this.#since = performance.now()
  }

  #count(error: unknown): void {
    const { maxFailures, patienceMs } = this.#limits
    if (performance.now() - this.#since >= patienceMs) this.#givenUp = maxHolders
    if (error instanceof PeerError && error.failure === 'silent') return
    this.#failures += 1
    if (this.#failures < maxFailures) return
    this.#failures = 0
    this.#givenUp += 1
    this.#dead = this.#standing
  }
}

/** Its claim stands for nothing: the holder is not there any more, or started anew. */
function isGone(error: unknown): boolean {
  return error instanceof PeerError && (error.failure === 'dead' || error.failure === 'absent')
}
