/** Whether the Redis of the configuration can be used as it is, and by whom it is used that should not. */
import { areApart, describeSite, type MemberSite } from '../../cluster/peers/member-site.ts'
import { readMembers } from '../../cluster/peers/members.ts'
import { formatRedisAddress } from '../../cluster/redis/address.ts'
import { openRedis, type Redis, RedisDown, type RedisOptions } from '../../cluster/redis/redis.ts'
import { createLogger } from '../../observe/log.ts'
import { systemClock } from '../../runtime/clock.ts'

/** Writes what goes at once, and asks for the time, as the index and replicas do. */
const tryIt = `redis.call('TIME') return redis.call('SET', KEYS[1], '', 'PX', 1)`

/** Lines for a person. That it cannot is no mistake of the configuration: a registry starts without it. */
export async function checkRedis(options: RedisOptions, site: MemberSite): Promise<string> {
  const redis = await openRedis(options, { log: createLogger('silent'), clock: systemClock })
  const where = `index: ${formatRedisAddress(options.address)}`
  try {
    await redis.servers()
    await redis.ask(client => client.eval(tryIt, 1, redis.key('check')))
    const strangers = await strangersAt(redis, site)
    return [`${where} answers`, ...strangers.map(text => `${where}: ${text}`)].join('\n')
  } catch (error) {
    if (!(error instanceof RedisDown)) throw error
    return `${where} cannot be used: ${redis.trouble ?? error.message}`
  } finally {
    await redis.close()
  }
}

/** Replicas that cannot belong together. */
async function strangersAt(redis: Redis, ours: MemberSite): Promise<readonly string[]> {
  const sites = (await readMembers(redis)).flatMap(({ advertise, site }) =>
    site ? [{ advertise, site }] : [],
  )
  const all = [ours, ...sites.map(({ site }) => site)]
  return sites
    .filter(({ site }) => all.some(other => areApart(other, site)))
    .map(
      ({ advertise, site }) =>
        `the replica ${advertise} has ${describeSite(site)}, others have something else: give the replicas of each site an index.prefix of their own`,
    )
}
