/** Replicas find each other, and those who are gone are dropped. */
import { expect, test, vi } from 'vitest'
import { Members, memberMs } from '../../../src/cluster/members.ts'
import type { Redis } from '../../../src/cluster/redis.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { FakeClock } from '../../fake/clock.ts'
import { startScene } from './scene.ts'

function memberOf(redis: Redis, advertise: string, clock: FakeClock) {
  return new Members({ redis, advertise, clock, log: createLogger('silent') })
}

async function pair() {
  const scene = await startScene()
  const clock = new FakeClock()
  const redis = await scene.connect()
  const first = memberOf(redis, 'http://a.test', clock)
  const second = memberOf(await scene.connect(), 'http://b.test', clock)
  await first.start()
  await second.start()
  const renew = async () => {
    await clock.untilSleeping(2)
    clock.advance(memberMs / 3)
  }
  return { scene, redis, first, second, renew }
}

test('each knows the others, and hears at once of one that leaves', async () => {
  const { scene, first, second, renew } = await pair()
  await using _ = scene
  expect(second.others).toEqual(['http://a.test'])
  await vi.waitFor(async () => {
    await renew()
    expect(first.others).toEqual(['http://b.test'])
  })
  await second.stop()
  await first.stop()
  const third = memberOf(await scene.connect(), 'http://c.test', new FakeClock())
  await third.start()
  expect(third.others).toEqual([])
  await third.stop()
})

test('one that says nothing any more is dropped when its time is over', async () => {
  const { scene, redis, first, second } = await pair()
  await using _ = scene
  await redis.ask(client => client.zadd(redis.key('members'), Date.now() - 1, 'http://b.test'))
  const third = memberOf(await scene.connect(), 'http://c.test', new FakeClock())
  await third.start()
  expect(third.others).toEqual(['http://a.test'])
  for (const member of [first, second, third]) await member.stop()
})

test('those known last are taken to be there while Redis is down', async () => {
  const { scene, second, renew, first } = await pair()
  await using _ = scene
  await scene.server.kill()
  await renew()
  expect(second.others).toEqual(['http://a.test'])
  for (const member of [first, second]) await member.stop()
})
