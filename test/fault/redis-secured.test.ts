/** Redis over TLS with users of its own: with Sentinels and as a Cluster, and what is said where it lets nobody in. */
import { describe, expect, test } from 'vitest'
import { reshard, startCluster, startSentinels } from '../support/redis.ts'
import { redisSecurity, securedOptions } from '../support/redis-security.ts'
import { tempDir } from '../support/temp-dir.ts'
import { redisScene } from './redis-scene.ts'

const longMs = 120_000

describe('over TLS, with users and passwords', () => {
  test('Sentinels with a user of their own name another master', { timeout: longMs }, async () => {
    await using folder = await tempDir()
    const security = await redisSecurity(folder.path)
    await using site = await startSentinels(security)
    await using at = await redisScene(site.url, { more: securedOptions(security) })
    await at.change()
    await at.healed()
    const before = await at.redis.servers()
    await site.servers[0]?.kill()
    await at.told.cached()
    await at.change()
    await at.healed()
    expect(await at.redis.servers()).not.toBe(before)
  })

  test('a Cluster sends to another of its servers', { timeout: longMs }, async () => {
    await using folder = await tempDir()
    const security = await redisSecurity(folder.path)
    await using site = await startCluster(security)
    await using at = await redisScene(site.url, { more: securedOptions(security) })
    await at.change()
    await at.healed()
    await reshard(site, 2000)
    await at.change()
    await at.healed()
  })
})
