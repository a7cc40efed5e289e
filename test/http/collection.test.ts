/** Garbage that goes while the registry is used. */
import { expect, test, vi } from 'vitest'
import { bytes, name, pushScene } from './push/scene.ts'

const hourMs = 3_600_000
const graceMs = 24 * hourMs

test('a layer that nothing lists goes by itself, but not while clients are told that it is here', async () => {
  await using at = await pushScene({ collection: { everyMs: hourMs, graceMs } })
  const [kept, garbage] = [await at.push(bytes(1_000)), await at.push(bytes(2_000))]
  const blob = (digest: string, method = 'GET') => at.ask(`/v2/${name}/blobs/${digest}`, { method })
  const collected = () => at.layover.lines.filter(({ msg }) => msg === 'garbage of pushed content collected')
  const advance = async (ms: number) => {
    const before = collected().length
    at.clock.advance(ms)
    await vi.waitFor(() => expect(collected().length).toBeGreaterThan(before))
    return collected().at(-1)
  }
  expect(await advance(graceMs)).toMatchObject({ blobs: 0, files: 0 })
  for (const _ of [1, 2]) expect((await blob(kept)).status).toBe(200) // and is in memory then
  expect((await blob(kept, 'HEAD')).status).toBe(200)
  expect(await advance(2 * hourMs)).toMatchObject({ blobs: 1, files: 1, bytes: 2_000 })
  expect((await blob(kept)).body).toHaveLength(1_000)
  expect(at.failure(await blob(garbage))).toEqual([404, 'BLOB_UNKNOWN'])
  const metrics = await (await fetch(`${at.layover.url}/metrics`)).text()
  expect(metrics).toMatch(/^layover_collected_bytes_total 2000$/m)
  expect(metrics).toMatch(/^layover_collections_total\{result="done"\} \d+$/m)
})

test('a stop ends a collection', async () => {
  await using at = await pushScene({ collection: { everyMs: hourMs, graceMs } })
  await at.push(bytes(1_000))
  at.clock.advance(2 * hourMs)
  await at.layover.stop()
})
