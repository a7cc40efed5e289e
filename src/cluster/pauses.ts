/** Pauses after a 429, shared by all replicas: what upstream said to one holds for each that asks as the same one. */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../runtime/clock.ts'
import type { SharedPauses, What, Whose } from '../upstream/transport/rate-limit.ts'
import type { Redis } from './redis/redis.ts'

/** More are not told of. */
const maxPauses = 1_000
/** Longer ones are told as so long; whoever asks then hears of the rest. */
const longestMs = 86_400_000
const channel = 'pauses'

/** By the clock of Redis. ARGV: field, milliseconds (0: it is over), how many. */
const tell = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HGETALL', KEYS[1])
for at = 1, #known, 2 do
  if tonumber(known[at + 1]) <= now then redis.call('HDEL', KEYS[1], known[at]) end
end
if tonumber(ARGV[2]) == 0 then return redis.call('HDEL', KEYS[1], ARGV[1]) end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], now + ARGV[2])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1`

/** Fields and what is left of them, in turns. */
const read = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HGETALL', KEYS[1])
for at = 2, #known, 2 do known[at] = known[at] - now end
return known`

export class Pauses implements SharedPauses {
  readonly #redis: Redis
  readonly #clock: Clock
  /** Until when, by the monotonic clock. */
  readonly #until = new LRUCache<string, number>({ max: maxPauses })
  #unsubscribe: (() => void) | undefined

  constructor(redis: Redis, clock: Clock) {
    this.#redis = redis
    this.#clock = clock
  }

  async start(): Promise<void> {
    this.#unsubscribe = await this.#redis.subscribe(channel, {
      heard: message => this.#hear(message),
      lost: () => void this.#read(),
    })
    await this.#read()
  }

  stop(): void {
    this.#unsubscribe?.()
  }

  leftMs(whose: Whose, what: What): number {
    const until = this.#until.get(fieldOf(whose, what)) ?? 0
    return Math.max(0, until - this.#clock.monotonic())
  }

  tell(whose: Whose, what: What, forMs: number): void {
    const field = fieldOf(whose, what)
    const ms = Math.min(Math.ceil(forMs), longestMs)
    this.#set(field, ms)
    const telling = async () => {
      const key = this.#redis.key(channel)
      await this.#redis.ask(client => client.eval(tell, 1, key, field, ms, maxPauses))
      await this.#redis.publish(channel, JSON.stringify([field, ms]))
    }
    telling().catch(() => {}) // Redis has logged it; each hears 429 for itself then
  }

  #hear(message: string): void {
    const [field, ms] = JSON.parse(message) as [unknown, unknown]
    if (typeof field === 'string' && typeof ms === 'number') this.#set(field, ms)
  }

  /** Never rejects. */
  async #read(): Promise<void> {
    try {
      const found = await this.#redis.ask(client => client.eval(read, 1, this.#redis.key(channel)))
      const known = found as (string | number)[]
      for (let at = 0; at + 1 < known.length; at += 2) this.#set(String(known[at]), Number(known[at + 1]))
    } catch {
      // Redis has logged it; it is read again when the connection is back
    }
  }

  #set(field: string, ms: number): void {
    if (ms > 0) this.#until.set(field, this.#clock.monotonic() + ms)
    else this.#until.delete(field)
  }
}

function fieldOf({ upstream, origin, identity }: Whose, what: What): string {
  return JSON.stringify([upstream, origin, identity, what])
}
