/** Redis emptied, stopped, killed, set back and full, under a Layover that has its index there: nobody notices, and nothing old is told. */
import { describe, test } from 'vitest'
import { RedisServer } from '../../support/redis.ts'
import { type RedisScene, redisScene } from './scene.ts'

async function withRedis(check: (at: RedisScene, server: RedisServer) => Promise<void>) {
  await using server = await RedisServer.start()
  await using at = await redisScene(server.url)
  await at.change()
  await at.healed()
  await check(at, server)
}

/** Nobody hangs: how long one who asks waits for Redis, and how often, the tests of the connection say. */
async function isTold({ told }: RedisScene) {
  await told.cached()
  await told.local()
}

describe('Redis as the index', () => {
  test('emptied: everything is told as before, from the records', () =>
    withRedis(async (at, server) => {
      await server.command('FLUSHALL')
      await isTold(at)
      await at.change()
      await at.healed()
    }))

  test('emptied again and again while tags move', () =>
    withRedis(async (at, server) => {
      for (let round = 0; round < 10; round += 1) {
        const flushed = server.command('FLUSHALL')
        await at.change()
        await flushed
        await at.told.local()
      }
      await at.healed()
    }))

  test('stopped for a while: pulls and pushes go on, and what changed meanwhile is told afterwards', () =>
    withRedis(async (at, server) => {
      server.pause()
      try {
        await isTold(at)
        await at.change()
        await isTold(at)
      } finally {
        server.resume()
      }
      await at.told.local()
      await at.healed()
    }))

  test('killed, and back with nothing', () =>
    withRedis(async (at, server) => {
      await server.kill()
      await isTold(at)
      await at.change()
      await server.begin()
      await at.told.local()
      await at.healed()
    }))

  test('killed, and back as it was some changes ago', () =>
    withRedis(async (at, server) => {
      await server.save()
      await at.change()
      await server.kill()
      await server.begin()
      await at.told.local()
      await at.healed()
    }))

  test('full: what cannot be written is read from the records', () =>
    withRedis(async (at, server) => {
      await server.command('CONFIG', 'SET', 'maxmemory', '1')
      await isTold(at)
      await at.change()
      await at.change()
      await isTold(at)
      await server.command('CONFIG', 'SET', 'maxmemory', '0')
      await at.told.local()
      await at.healed()
    }))

  test('not there at the start: it is used as soon as it comes', async () => {
    await using server = await RedisServer.start()
    await server.kill()
    await using at = await redisScene(server.url, { isUp: false })
    await at.change()
    await isTold(at)
    await server.begin()
    await at.healed()
  })
})
