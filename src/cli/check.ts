/** `layover check`: the configuration in effect, without secrets, or every mistake in it; and whether its bucket can be used. */
import { stringify } from 'yaml'
import { areApart, describeSite, type MemberSite } from '../cluster/member-site.ts'
import { readMembers } from '../cluster/members.ts'
import { openRedis, type Redis, RedisDown, type RedisOptions } from '../cluster/redis.ts'
import { formatRedisAddress } from '../cluster/redis-address.ts'
import { loadConfig } from '../config/load.ts'
import { ConfigError } from '../config/problem.ts'
import { createLogger } from '../observe/log.ts'
import { systemClock } from '../runtime/clock.ts'
import { checkBucket } from './check-bucket.ts'
import { siteOf } from './shared.ts'

/** Writes what goes at once, and asks for the time, as the index and replicas do. */
const tryIt = `redis.call('TIME') return redis.call('SET', KEYS[1], '', 'PX', 1)`

interface Output {
  write(text: string): unknown
}

/** Whether it can be used, in words. That it cannot is no mistake of the configuration: a registry starts without it. */
async function aboutRedis(options: RedisOptions, site: MemberSite): Promise<string> {
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

/** Resolves with the exit code. */
export async function runCheck(path: string, out: Output, err: Output): Promise<number> {
  try {
    const { config, redacted } = await loadConfig(path)
    out.write(stringify(redacted))
    if (config.index) err.write(`${await aboutRedis(config.index, siteOf(config))}\n`)
    const bucket = await checkBucket(config)
    if (!bucket) return 0
    if (bucket.isUsable) out.write(`# ${bucket.line}\n`)
    else err.write(`layover: ${bucket.line}\n`)
    return bucket.isUsable ? 0 : 1
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    err.write(`${error.message}\n`)
    return 2
  }
}
