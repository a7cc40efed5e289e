/** Counts that processes share through a real Redis, and what they do without it. */
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { LoginFailures } from '../../../src/access/failures.ts'
import { MemoryCounts, RedisCounts } from '../../../src/cluster/counts.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { RedisServer, startCluster } from '../../support/redis.ts'
import { connected } from './scene.ts'

const lifeMs = 60_000
const patient = { timeout: 20_000, interval: 20 }

async function process(url: string) {
  const redis = await connected(url)
  onTestFinished(() => redis.close())
  const memory = new MemoryCounts(() => systemClock.monotonic())
  return { redis, counts: new RedisCounts(redis, memory) }
}

describe('counts in Redis', () => {
  test('are those of all processes, end with their time, and adding nothing leaves nothing', async () => {
    await using server = await RedisServer.start()
    const [one, two] = [await process(server.url), await process(server.url)]
    expect(
      await one.counts.exchange(
        new Map([
          ['a', 3],
          ['b', 1],
        ]),
        lifeMs,
      ),
    ).toEqual(
      new Map([
        ['a', 3],
        ['b', 1],
      ]),
    )
    expect(
      await two.counts.exchange(
        new Map([
          ['a', 2],
          ['c', 0],
        ]),
        lifeMs,
      ),
    ).toEqual(
      new Map([
        ['a', 5],
        ['c', 0],
      ]),
    )
    expect(await one.counts.exchange(new Map([['a', 0]]), lifeMs)).toEqual(new Map([['a', 5]]))
    const keys = (await server.command('KEYS', '*')).split('\n')
    expect(keys.sort()).toEqual(['test:{counts}:a', 'test:{counts}:b'])
    for (const key of keys) expect(Number(await server.command('PTTL', key))).toBeGreaterThan(0)
  })

  test('go on within the process while Redis is down, and together after that', async () => {
    await using server = await RedisServer.start()
    const [one, two] = [await process(server.url), await process(server.url)]
    await one.counts.exchange(new Map([['a', 3]]), lifeMs)
    await server.kill()
    expect(await one.counts.exchange(new Map([['a', 1]]), lifeMs)).toEqual(new Map([['a', 4]]))
    expect(await two.counts.exchange(new Map([['a', 1]]), lifeMs)).toEqual(new Map([['a', 1]]))
    await server.begin()
    await vi.waitFor(() => expect([one.redis.up, two.redis.up]).toEqual([true, true]), patient)
    await one.counts.exchange(new Map([['d', 1]]), lifeMs)
    expect(await two.counts.exchange(new Map([['d', 1]]), lifeMs)).toEqual(new Map([['d', 2]]))
  })

  test('of a Cluster are added up with one question', async () => {
    await using site = await startCluster()
    const { counts } = await process(site.url)
    const many = new Map(Array.from({ length: 500 }, (_, nth) => [`key${nth}`, nth + 1] as const))
    expect(await counts.exchange(many, lifeMs)).toEqual(many)
  })

  test('make failed logins at one process refusals at the other', async () => {
    await using server = await RedisServer.start()
    const limits = { perAddress: 4, perUser: 100, windowMs: 86_400_000 }
    const stand = async () => {
      const { counts } = await process(server.url)
      const failures = new LoginFailures(limits, { clock: systemClock, shared: counts })
      onTestFinished(() => failures.close())
      return failures
    }
    const [one, two] = [await stand(), await stand()]
    const who = { client: '192.0.2.1', user: 'alice' }
    for (const failures of [one, one, two, two]) failures.failed(who)
    for (const failures of [one, two])
      await vi.waitFor(
        () => expect(() => failures.assertMayTry(who)).toThrow(/too many failed logins/),
        patient,
      )
    const keys = await server.command('KEYS', '*')
    expect(keys).not.toMatch(/alice|192\.0\.2/)
  })
})
