/** Which replicas there are: each says so again and again, in one sorted set whose entries expire. */
import type { Logger } from '../observe/log.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Redis } from './redis.ts'

/** How long a replica counts as there after it said so last. */
export const memberMs = 6_000
const renewEveryMs = 2_000
/** More are not looked at. */
const maxMembers = 256

export interface MembersDeps {
  readonly redis: Redis
  /** Where we are reached, which is our name. */
  readonly advertise: string
  readonly clock: Clock
  readonly log: Logger
}

/** By the clock of Redis, so that ours may be wrong. ARGV: ours, milliseconds, how many. */
const renew = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZRANGE', KEYS[1], 0, ARGV[3] - 1)`

export class Members {
  readonly #deps: MembersDeps
  readonly #stopping = new AbortController()
  #others: readonly string[] = []

  constructor(deps: MembersDeps) {
    this.#deps = deps
  }

  /** Where the other replicas are reached, as far as Redis said when it was last there. */
  get others(): readonly string[] {
    return this.#others
  }

  /** Resolves when the others know of us, or Redis is down. */
  async start(): Promise<void> {
    await this.#renew()
    void this.#keepOn()
  }

  /** The others learn of it at once. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    const { redis, advertise } = this.#deps
    await redis.ask(client => client.zrem(this.#key, advertise)).catch(() => {}) // it expires
  }

  async #keepOn(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await this.#deps.clock.sleep(renewEveryMs, signal).catch(() => {}) // the stop ends the loop
      if (!signal.aborted) await this.#renew()
    }
  }

  async #renew(): Promise<void> {
    const { redis, advertise } = this.#deps
    try {
      const all = await redis.ask(client => client.eval(renew, 1, this.#key, advertise, memberMs, maxMembers))
      this.#take((all as string[]).filter(member => member !== advertise))
    } catch {
      // Redis has logged it; who was there is taken to be there still
    }
  }

  #take(others: readonly string[]): void {
    const before = new Set(this.#others)
    this.#others = others
    if (others.length !== before.size || others.some(other => !before.has(other)))
      this.#deps.log.info({ replicas: others }, 'the other replicas')
  }

  get #key(): string {
    return this.#deps.redis.key('members')
  }
}
