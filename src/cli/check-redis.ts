/** Whether the Redis of the configuration can be used as it is. */
import { openRedis, RedisDown, type RedisOptions } from '../cluster/redis.ts'
import { formatRedisAddress } from '../cluster/redis-address.ts'
import { createLogger } from '../observe/log.ts'
import { systemClock } from '../runtime/clock.ts'

/** Writes what goes at once, and asks for the time, as the index and replicas do. */
const tryIt = `redis.call('TIME') return redis.call('SET', KEYS[1], '', 'PX', 1)`

/** One line for a person. That it cannot is no mistake of the configuration: a registry starts without it. */
export async function checkRedis(options: RedisOptions): Promise<string> {
  const redis = await openRedis(options, { log: createLogger('silent'), clock: systemClock })
  const where = `index: ${formatRedisAddress(options.address)}`
  try {
    await redis.servers()
    await redis.ask(client => client.eval(tryIt, 1, redis.key('check')))
    return `${where} answers`
  } catch (error) {
    if (!(error instanceof RedisDown)) throw error
    return `${where} cannot be used: ${redis.trouble ?? error.message}`
  } finally {
    await redis.close()
  }
}
