/** A pause that one replica was told of is one for all, also for those who come later. */
import { expect, test, vi } from 'vitest'
import { Pauses } from '../../../src/cluster/pauses.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { startScene } from './scene.ts'

const hub = { upstream: 'docker.io', origin: 'https://registry-1.docker.io', identity: 'anonymous' }

test('others hear of a pause and of its end, and so does who starts later', async () => {
  await using scene = await startScene()
  const all = await Promise.all([1, 2].map(async () => new Pauses(await scene.connect(), systemClock)))
  const [first, second] = all
  if (!first || !second) throw new Error('there are two')
  await Promise.all(all.map(pauses => pauses.start()))
  first.tell(hub, 'manifests', 60_000)
  expect(first.leftMs(hub, 'manifests')).toBeGreaterThan(0)
  await vi.waitFor(() => expect(second.leftMs(hub, 'manifests')).toBeGreaterThan(0), 10_000)
  expect(second.leftMs(hub, 'everything')).toBe(0)
  expect(second.leftMs({ ...hub, identity: 'robot' }, 'manifests')).toBe(0)
  const third = new Pauses(await scene.connect(), systemClock)
  await third.start()
  expect(third.leftMs(hub, 'manifests')).toBeGreaterThan(0)
  expect(third.leftMs(hub, 'manifests')).toBeLessThanOrEqual(60_000)
  second.tell(hub, 'manifests', 0)
  await vi.waitFor(() => {
    for (const pauses of [first, third]) expect(pauses.leftMs(hub, 'manifests')).toBe(0)
  }, 10_000)
  for (const pauses of [first, second, third]) pauses.stop()
})

test('without Redis each keeps its own', async () => {
  await using scene = await startScene()
  const pauses = new Pauses(await scene.connect(), systemClock)
  await pauses.start()
  await scene.server.kill()
  pauses.tell(hub, 'everything', 60_000)
  expect(pauses.leftMs(hub, 'everything')).toBeGreaterThan(0)
  pauses.stop()
})
