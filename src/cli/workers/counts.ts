/** What several processes count together. */
import { MemoryCounts, RedisCounts, type SharedCounts } from '../../cluster/counts.ts'
import type { Redis } from '../../cluster/redis/redis.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Link } from './link.ts'
import type { Report } from './orders.ts'

/** Of the process that others ask: with those, and with the replicas that share its Redis. */
export function countsOfAll({ redis, clock }: { redis: Redis | undefined; clock: Clock }): SharedCounts {
  const memory = new MemoryCounts(() => clock.monotonic())
  return redis ? new RedisCounts(redis, memory) : memory
}

/** Of a server: its primary counts. Rejects when that is gone. */
export function countsOver(link: () => Pick<Link, 'ask'>): SharedCounts {
  return {
    exchange: (increments, lifeMs) =>
      link().ask({ kind: 'counts', increments, lifeMs } satisfies Report) as Promise<
        ReadonlyMap<string, number>
      >,
  }
}
