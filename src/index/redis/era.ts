/**
 * For how long marks of completeness hold: as long as Redis keeps what it was told. All replicas share an era, which
 * stands in Redis with the servers that it began on. Other servers may have lost what was written last: a new era begins,
 * and marks of the one before are void.
 */
import { createHash, randomBytes } from 'node:crypto'
import { type Redis, RedisDown } from '../../cluster/redis/redis.ts'
import type { Clock } from '../../runtime/clock.ts'
import { eraKey } from './keys.ts'
import { beginEra } from './scripts.ts'

export const stampBytes = 6
const serversBytes = 8
/** How long a look that failed is not repeated. */
const retryMs = 500

export class Era {
  readonly #redis: Redis
  readonly #clock: Clock
  #stamp: Buffer | undefined
  #servers: Buffer | undefined
  /** Of Redis when we looked. */
  #incarnation: number | undefined
  #looking: Promise<void> | undefined
  #retryAt = 0
  /** Whatever Redis says, this era is over. */
  #isOver = false

  constructor(redis: Redis, clock: Clock) {
    this.#redis = redis
    this.#clock = clock
  }

  /** Undefined while it is not known. */
  get stamp(): Buffer | undefined {
    if (this.#incarnation === this.#redis.incarnation) return this.#stamp
    void this.look()
    return undefined
  }

  /** What stood in Redis a moment ago: it is the era in force, or there is none that can be believed. */
  learn(found: Buffer | null): Buffer | undefined {
    if (this.stamp === undefined) return undefined
    if (found && this.#servers && found.subarray(stampBytes).equals(this.#servers)) {
      this.#stamp = found.subarray(0, stampBytes)
      return this.#stamp
    }
    this.#forget()
    return undefined
  }

  /** Some writes were lost, and nobody knows which. */
  end(): void {
    this.#isOver = true
    this.#forget()
  }

  /** Resolves when it is known, or cannot be now. */
  look(): Promise<void> {
    if (!this.#looking && this.#clock.monotonic() < this.#retryAt) return Promise.resolve()
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  async #look(): Promise<void> {
    const { incarnation } = this.#redis
    const isOver = this.#isOver
    try {
      const servers = digestOf(await this.#redis.servers())
      const key = this.#redis.key(eraKey)
      const args = [randomBytes(stampBytes), servers, isOver ? '1' : '']
      const found = await this.#redis.ask(client => client.callBuffer('eval', beginEra, 1, key, ...args))
      if (!Buffer.isBuffer(found)) return
      this.#stamp = found.subarray(0, stampBytes)
      this.#servers = servers
      this.#incarnation = incarnation
      if (isOver) this.#isOver = false
    } catch (error) {
      if (!(error instanceof RedisDown)) throw error
      this.#retryAt = this.#clock.monotonic() + retryMs
    }
  }

  #forget(): void {
    this.#incarnation = undefined
    void this.look()
  }
}

function digestOf(servers: string): Buffer {
  return createHash('sha256').update(servers).digest().subarray(0, serversBytes)
}
