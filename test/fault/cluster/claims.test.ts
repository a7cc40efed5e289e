/** One replica has a claim, until it gives it up, is gone, or is known to be. */
import { expect, test, vi } from 'vitest'
import { Claims, claimMs } from '../../../src/cluster/claims.ts'
import type { Redis } from '../../../src/cluster/redis/redis.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { FakeClock } from '../../fake/clock.ts'
import { startScene } from './scene.ts'

const a = 'http://a.test'
const b = 'http://b.test'

function claimsOf(redis: Redis, advertise: string, clock = systemClock) {
  return new Claims({ redis, advertise, clock })
}

async function pair() {
  const scene = await startScene()
  const redis = await scene.connect()
  const first = claimsOf(redis, a)
  const second = claimsOf(await scene.connect(), b)
  return { scene, redis, first, second }
}

test('a claim stands until it is given up', async () => {
  const { scene, first, second } = await pair()
  await using _ = scene
  const ours = await first.take('blob x')
  if (!ours?.isOurs) throw new Error('the claim was free')
  expect(await second.take('blob x')).toMatchObject({ isOurs: false, holder: a })
  expect(await second.take('blob y')).toMatchObject({ isOurs: true })
  await ours.release(false)
  expect(await second.take('blob x')).toMatchObject({ isOurs: true })
  await ours.release(true) // is not ours any more
  expect(await first.take('blob x')).toMatchObject({ isOurs: false, holder: b })
  for (const claims of [first, second]) claims.stop()
})

test('who did the work is remembered, and the claim is free', async () => {
  const { scene, first, second } = await pair()
  await using _ = scene
  const ours = await first.take('blob x')
  expect(ours).toMatchObject({ isOurs: true, doneBy: undefined })
  if (ours?.isOurs) await ours.release(true)
  const next = await second.take('blob x')
  expect(next).toMatchObject({ isOurs: true, doneBy: a })
  if (next?.isOurs) await next.release(false)
  expect(await first.take('blob x')).toMatchObject({ isOurs: true, doneBy: undefined })
  for (const claims of [first, second]) claims.stop()
})

test('one of a dead replica is taken over by one of those who found it dead', async () => {
  const { scene, first, second } = await pair()
  await using _ = scene
  await first.take('blob x')
  const dead = await second.take('blob x')
  if (!dead || dead.isOurs) throw new Error('the claim is held')
  const third = claimsOf(await scene.connect(), 'http://c.test')
  const [one, other] = await Promise.all([second.take('blob x', dead), third.take('blob x', dead)])
  expect([one, other].filter(found => found?.isOurs)).toHaveLength(1)
  expect([one, other].filter(found => found?.isOurs === false)).toHaveLength(1)
  for (const claims of [first, second, third]) claims.stop()
})

test('is renewed while its holder lives, also after a flush, and expires after it', async () => {
  await using scene = await startScene()
  const redis = await scene.connect()
  const clock = new FakeClock()
  const first = claimsOf(redis, a, clock)
  await first.take('blob x')
  await clock.untilSleeping()
  const left = async () => {
    const keys = await redis.ask(client => client.keys('test:claim:*'))
    return keys[0] === undefined ? -2 : redis.ask(client => client.pttl(keys[0] ?? ''))
  }
  await redis.ask(client => client.flushall())
  expect(await left()).toBe(-2)
  clock.advance(claimMs / 3)
  await vi.waitFor(async () => expect(await left()).toBeGreaterThan(0), 10_000)
  expect(await left()).toBeLessThanOrEqual(claimMs)
  first.stop()
})

test('nobody has one while Redis is down, and asking takes no long time', async () => {
  const { scene, first } = await pair()
  await using _ = scene
  await scene.server.kill()
  expect(await first.take('blob x')).toBeUndefined()
})
