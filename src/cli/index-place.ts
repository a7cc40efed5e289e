/** The index where the configuration has it: in a file of the store, or in the Redis that replicas share. */
import { openRedis, type Redis } from '../cluster/redis/redis.ts'
import type { Config } from '../config/config.ts'
import type { Index } from '../index/index.ts'
import { openRedisIndex } from '../index/redis/redis-index.ts'
import { openSqliteIndex } from '../index/rows/sqlite.ts'
import type { Logger } from '../observe/log.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Store } from '../store/store.ts'

/** Names the state of an index that was whole, until much of it is lost; undefined: nothing is known of it now. */
export type Life = () => Promise<string | undefined>

export interface IndexPlaceDeps {
  readonly store: Store
  readonly redis: Redis | undefined
  readonly clock: Clock
  readonly log: Logger
}

/** Never fails: without a usable place there is an index all the same, which then says that it is not up. */
export async function openIndex({
  store,
  redis,
  clock,
  log,
}: IndexPlaceDeps): Promise<{ index: Index; life: Life }> {
  if (redis) {
    const index = await openRedisIndex({ redis, clock, hasOwnRecords: store.shared === undefined })
    const life = async () => {
      await index.ready() // who asks nothing of Redis does not hear that it was emptied
      return index.era
    }
    return { index, life }
  }
  const index = await openSqliteIndex({ path: store.layout.index, clock, log })
  return { index, life: async () => index.epoch }
}

/** For a command of its own: the task has the index that the configuration names, which is closed behind it. */
export async function withIndex<T>(
  config: Config,
  deps: Omit<IndexPlaceDeps, 'redis'>,
  task: (index: Index) => Promise<T>,
): Promise<T> {
  const redis = config.index && (await openRedis(config.index, deps))
  try {
    const { index } = await openIndex({ ...deps, redis })
    try {
      return await task(index)
    } finally {
      await index.close()
    }
  } finally {
    await redis?.close() // an open connection keeps the process alive
  }
}
