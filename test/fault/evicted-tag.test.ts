/** A tag that is known, and what it points at evicted: no worse than a tag that was never here. */
import { expect, test } from 'vitest'
import { seededBlob } from '../fake/bytes.ts'
import { artifactOf } from '../fake/content.ts'
import { hour, jumpScene } from './clock-jumps-scene.ts'

const mib = 2 ** 20
const tag = 'app/manifests/v1'
const [layer, other] = [seededBlob('layer', mib), seededBlob('other', mib)]

/** Upstream takes so long to give the manifest that the tag points at now: more than a check may take. */
const slowMs = 10_000

async function asked(setUp: (at: Awaited<ReturnType<typeof jumpScene>>) => Promise<void>): Promise<number> {
  await using at = await jumpScene({ capacity: { maxBytes: 1.5 * mib } })
  at.net.plain.put('app', 'v1', artifactOf([layer]))
  at.net.plain.putBlob('app', other)
  await setUp(at)
  at.net.plain.put('app', 'v1', artifactOf([layer, other]))
  const fault = at.net.fault({ kind: 'stall', at: 0, method: 'GET', path: /manifests/ })
  using _ = { [Symbol.dispose]: () => fault.release() }
  const status = at.status(tag)
  await fault.reached
  at.clock.advance(slowMs)
  fault.release()
  return await status // before everything is closed
}

test('a tag that was never here waits for a slow upstream', async () => {
  expect(await asked(async () => {})).toBe(200)
})

test('a tag whose layers were evicted waits for a slow upstream', async () => {
  const evicted = async (at: Awaited<ReturnType<typeof jumpScene>>) => {
    for (const path of [tag, `app/blobs/${layer.digest}`, `app/blobs/${other.digest}`]) await at.warm(path)
    await at.pass(hour)
  }
  expect(await asked(evicted)).toBe(200)
})
