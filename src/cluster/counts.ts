/** Counts that several processes add to: within one process, and in Redis. */
import type { Redis } from './redis/redis.ts'

export interface SharedCounts {
  /**
   * Adds to the counts behind these keys, and resolves with what each of them is then; adding 0 only asks.
   * Lost where it rejects, or partly: who counts goes on with what it has.
   *
   * @param lifeMs how long a count stands from its first increment on
   */
  exchange(increments: ReadonlyMap<string, number>, lifeMs: number): Promise<ReadonlyMap<string, number>>
}

/** More are not kept in memory: those that were added to longest ago are forgotten. */
const maxCounts = 100_000

interface Held {
  readonly count: number
  /** By the monotonic clock. */
  readonly until: number
}

/** For the processes that tell one of them. */
export class MemoryCounts implements SharedCounts {
  readonly #now: () => number
  readonly #held = new Map<string, Held>()

  /** @param now milliseconds that never go back */
  constructor(now: () => number) {
    this.#now = now
  }

  exchange(increments: ReadonlyMap<string, number>, lifeMs: number): Promise<ReadonlyMap<string, number>> {
    const totals = new Map<string, number>()
    for (const [key, by] of increments) totals.set(key, this.#add(key, by, lifeMs))
    this.#forget()
    return Promise.resolve(totals)
  }

  #add(key: string, by: number, lifeMs: number): number {
    const found = this.#held.get(key)
    const held = found && found.until > this.#now() ? found : { count: 0, until: this.#now() + lifeMs }
    const count = held.count + by
    if (by === 0) return count
    this.#held.delete(key)
    this.#held.set(key, { count, until: held.until })
    return count
  }

  #forget(): void {
    for (const [key, { until }] of this.#held) {
      if (until > this.#now() && this.#held.size <= maxCounts) return
      this.#held.delete(key)
    }
  }
}

/** ARGV: milliseconds, and by how much each. */
const add = `
local totals = {}
for at = 1, #KEYS do
  local by = tonumber(ARGV[at + 1])
  if by == 0 then
    totals[at] = tonumber(redis.call('GET', KEYS[at]) or '0')
  else
    totals[at] = redis.call('INCRBY', KEYS[at], by)
    if totals[at] == by then redis.call('PEXPIRE', KEYS[at], ARGV[1]) end
  end
end
return totals`

/** For all processes that share a Redis. Where it is down, those that share the memory go on with that. */
export class RedisCounts implements SharedCounts {
  readonly #redis: Redis
  readonly #memory: SharedCounts

  constructor(redis: Redis, memory: SharedCounts) {
    this.#redis = redis
    this.#memory = memory
  }

  async exchange(
    increments: ReadonlyMap<string, number>,
    lifeMs: number,
  ): Promise<ReadonlyMap<string, number>> {
    const [near, far] = await Promise.all([
      this.#memory.exchange(increments, lifeMs),
      this.#add(increments, lifeMs).catch(() => undefined), // Redis has logged it
    ])
    return far ? larger(near, far) : near
  }

  /** In one hash slot: one question for all of them. @throws RedisDown */
  async #add(increments: ReadonlyMap<string, number>, lifeMs: number): Promise<ReadonlyMap<string, number>> {
    const names = [...increments.keys()]
    const keys = names.map(name => this.#redis.key('{counts}', name))
    const totals = await this.#redis.ask(client =>
      client.eval(add, keys.length, ...keys, lifeMs, ...increments.values()),
    )
    return new Map(names.map((name, at) => [name, Number((totals as unknown[])[at])]))
  }
}

function larger(
  one: ReadonlyMap<string, number>,
  other: ReadonlyMap<string, number>,
): ReadonlyMap<string, number> {
  return new Map([...one].map(([key, count]) => [key, Math.max(count, other.get(key) ?? 0)]))
}
