/** Runs the index's conformance suite and random histories against Redis: one server, and a Cluster of six. */
import { afterAll, beforeAll } from 'vitest'
import { askMs, openRedis, type Redis } from '../../src/cluster/redis/redis.ts'
import { parseRedisAddress } from '../../src/cluster/redis/address.ts'
import { openRedisIndex } from '../../src/index/redis/redis-index.ts'
import type { ExpendableLimits } from '../../src/index/rows/rows.ts'
import { createLogger } from '../../src/observe/log.ts'
import { type Clock, systemClock } from '../../src/runtime/clock.ts'
import { RedisServer, type RedisSite, startCluster, until } from '../support/redis.ts'
import { type IndexPlace, indexConformance } from './index.ts'
import { indexHistories } from './index-history.ts'

const startMs = 60_000
const sites: { one?: RedisServer; many?: RedisSite } = {}
/** What becomes of an answer that comes late is tried in test/fault/redis: here none does, however busy the machine is. */
const patient: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(ms === askMs ? 10_000 : ms, signal),
}
let places = 0

beforeAll(async () => {
  sites.one = await RedisServer.start()
  sites.many = await startCluster()
}, startMs)

afterAll(async () => {
  await sites.one?.[Symbol.asyncDispose]()
  await sites.many?.[Symbol.asyncDispose]()
}, startMs)

/** A server that starts again is another one, which may have lost what was written last. */
async function crash(server: RedisServer | undefined) {
  await server?.save()
  await server?.kill()
  await server?.begin()
}

async function inOne(): Promise<IndexPlace> {
  return placeAt(sites.one?.url, () => crash(sites.one))
}

async function inMany(): Promise<IndexPlace> {
  const [server] = sites.many?.servers ?? []
  return placeAt(sites.many?.url, async () => {
    await crash(server)
    await until(async () => (await server?.command('CLUSTER', 'INFO'))?.includes('cluster_state:ok') === true)
  })
}

/** Nothing of local repositories outlives the process; the rest is tried in test/fault/redis/index.test.ts. */
function placeAt(url = '', crash: () => Promise<void>): IndexPlace {
  const opened: Redis[] = []
  places += 1
  const prefix = `place${places}:`
  const open = async (bodies?: ExpendableLimits) => {
    const options = { address: parseRedisAddress(url), prefix }
    const redis = await openRedis(options, { log: createLogger('silent'), clock: patient })
    opened.push(redis)
    return openRedisIndex({ redis, clock: systemClock, ...(bodies ? { bodies } : {}) })
  }
  return {
    lasts: false,
    open,
    openCrashed: async () => {
      await crash()
      return open()
    },
    [Symbol.asyncDispose]: async () => {
      for (const redis of opened) await redis.close()
    },
  }
}

for (const [name, createPlace] of [
  ['Redis', inOne],
  ['Redis Cluster', inMany],
] as const) {
  indexConformance(name, createPlace)
  indexHistories(name, createPlace)
}
