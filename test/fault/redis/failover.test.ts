/** Redis with Sentinels and as a Cluster: a master dies, slots move; nobody notices, and nothing old is told. */
import { describe, expect, test } from 'vitest'
import { reshard, startCluster, startSentinels, until } from '../../support/redis.ts'
import { redisScene } from './scene.ts'

const longMs = 120_000

describe('Redis with Sentinels', () => {
  test('another server becomes master', { timeout: longMs }, async () => {
    await using site = await startSentinels()
    await using at = await redisScene(site.url)
    await at.change()
    await at.healed()
    const [master] = site.servers
    await master?.kill()
    await at.told.cached()
    await at.change()
    await at.healed()
    expect(await at.redis.servers()).not.toBe('')
  })

  test('a master that slept is one no more', { timeout: longMs }, async () => {
    await using site = await startSentinels()
    await using at = await redisScene(site.url)
    await at.change()
    const [master] = site.servers
    const before = await at.redis.servers()
    master?.pause()
    await until(async () => {
      await at.told.cached()
      return at.redis.up && (await at.redis.servers().catch(() => before)) !== before
    })
    await at.change()
    master?.resume()
    await at.told.local()
    await at.healed()
  })
})

describe('Redis as a Cluster', () => {
  test('slots move to another master while tags move', { timeout: longMs }, async () => {
    await using site = await startCluster()
    await using at = await redisScene(site.url)
    await at.healed()
    const moving = { isDone: false }
    const moved = reshard(site, 2000).finally(() => {
      moving.isDone = true
    })
    do await at.change()
    while (!moving.isDone)
    await moved
    await at.healed()
  })

  test('a master dies, and its replica takes over', { timeout: longMs }, async () => {
    await using site = await startCluster()
    await using at = await redisScene(site.url)
    await at.change()
    await at.healed()
    await site.servers[0]?.kill()
    await at.told.cached()
    await at.change()
    await until(
      async () => (await site.servers[1]?.command('CLUSTER', 'INFO'))?.includes('cluster_state:ok') === true,
    )
    await at.change()
    await at.healed()
  })
})
