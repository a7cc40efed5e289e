/** What is asked about manifests is asked once, whichever replica is asked. */
import { describe, expect, test, vi } from 'vitest'
import type { Redis } from '../../../src/cluster/redis/redis.ts'
import { digestOf } from '../../../src/oci/digest.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { image } from '../../fake/content.ts'
import { ask } from '../scene.ts'
import { acquainted, type Replicas, startReplicas } from './scene.ts'

const app = image('app', { layers: [300] })
const path = /\/manifests\//
const byTag = '/v2/team/app/manifests/v1'
const byDigest = `/v2/team/app/manifests/${app.digest}`

async function world(setting?: Parameters<typeof startReplicas>[0]) {
  const at = await startReplicas(setting)
  at.net.plain.put('team/app', 'v1', app)
  return at
}

const askAll = (at: Replicas, what: string, method = 'GET') =>
  Promise.all(Array.from({ length: 12 }, (_, number) => ask(at.at(number % 3).url, what, { method })))

const count = (at: Replicas, method: string) => at.net.requests({ method, path }).length

/** Its answers take a while, and are not late. */
function slow(redis: Redis): void {
  const ask = redis.ask.bind(redis)
  vi.spyOn(redis, 'ask').mockImplementation(async task => {
    await systemClock.sleep(40)
    return ask(task)
  })
}

describe('a manifest that three replicas are asked for', () => {
  test.each([byTag, byDigest])('is fetched once: %s', async what => {
    await using at = await world()
    const fault = at.net.fault({ kind: 'hang', path, times: 1 })
    const asking = askAll(at, what)
    await fault.reached
    fault.release()
    for (const { status, body } of await asking)
      expect([status, digestOf(body) === app.digest]).toEqual([200, true])
    expect(count(at, 'GET')).toBe(1)
  })

  test('is asked about once with HEAD', async () => {
    await using at = await world()
    const fault = at.net.fault({ kind: 'hang', path, times: 1 })
    const asking = askAll(at, byTag, 'HEAD')
    await fault.reached
    fault.release()
    for (const { status, headers } of await asking)
      expect([status, headers['docker-content-digest']]).toEqual([200, app.digest])
    expect(count(at, 'HEAD')).toBeLessThanOrEqual(3)
  })

  test('and that upstream does not have: all hear so', async () => {
    await using at = await world()
    const fault = at.net.fault({ kind: 'hang', path, times: 1 })
    const asking = askAll(at, '/v2/team/app/manifests/v2')
    await fault.reached
    fault.release()
    for (const { status } of await asking) expect(status).toBe(404)
    expect(count(at, 'GET')).toBeLessThanOrEqual(3)
  })

  test.each([
    byTag,
    byDigest,
  ])('is fetched once, however late its replica hears from Redis: %s', async what => {
    await using at = await world()
    slow(at.at(0).redis)
    for (const { url } of at.all) expect((await ask(url, what)).status).toBe(200)
    expect(count(at, 'GET')).toBe(1)
  })

  test('goes on to be asked for when Redis is gone', async () => {
    await using at = await world()
    await at.redis.kill()
    for (const { status } of await askAll(at, byTag)) expect(status).toBe(200)
    expect(count(at, 'GET')).toBeLessThanOrEqual(3)
  })
})

test('a pause after a 429 is one for all replicas', async () => {
  await using at = await world()
  await acquainted(at)
  at.net.fault({ kind: 'rate-limited', form: 'hub', path, times: 1 })
  expect((await ask(at.at(0).url, byTag)).status).toBe(503)
  await vi.waitFor(
    async () => {
      const { status, body } = await ask(at.at(1).url, '/v2/team/app/manifests/v2')
      expect([status, body.toString()]).toEqual([503, expect.stringContaining('429')])
    },
    { timeout: 10_000 },
  )
  expect(count(at, 'GET')).toBeLessThanOrEqual(2)
})
