/** What rots is found while the registry is used, and mended by the next push or pull. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { expect, test, vi } from 'vitest'
import { parseDigest } from '../../src/oci/digest.ts'
import { Layout } from '../../src/store/layout.ts'
import { flipBit } from '../unit/scrub/scrub-rig.ts'
import { bytes, name, pushScene } from './push/scene.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const setting = { scrub: { everyMs: 30 * dayMs, bytesPerSecond: 0 } }

async function scene() {
  const at = await pushScene(setting)
  const scrubs = () =>
    at.layover.lines.filter(({ msg }) => typeof msg === 'string' && msg.startsWith('store scrubbed'))
  return {
    ...at,
    layout: new Layout(at.layover.storePath),
    scrubs,
    /** Resolves with what the next scrub tells. */
    async scrubbed(ms: number) {
      const before = scrubs().length
      at.clock.advance(ms)
      await vi.waitFor(() => expect(scrubs().length).toBeGreaterThan(before))
      return scrubs().at(-1)
    },
    blob: (digest: string) => at.ask(`/v2/${name}/blobs/${digest}`),
    [Symbol.asyncDispose]: () => at[Symbol.asyncDispose](),
  }
}

test('a pushed layer that rots is answered as missing, also where it was in memory, until it is pushed again', async () => {
  await using at = await scene()
  const [sound, layer] = [bytes(1_000), bytes(200_000)]
  await at.push(sound)
  const digest = await at.push(layer)
  for (const _ of [1, 2, 3]) expect((await at.blob(digest)).status).toBe(200)
  await flipBit(at.layout.pushed(parseDigest(digest)))
  expect(await at.scrubbed(hourMs)).toMatchObject({ level: 'error', files: 2, quarantined: 1, missing: 1 })
  await vi.waitFor(async () => expect((await at.blob(digest)).status).toBe(500))
  expect(at.layover.lines).toContainEqual(
    expect.objectContaining({
      level: 'error',
      digest,
      repositories: [name],
      msg: 'a pushed file is damaged',
    }),
  )
  expect(await readdir(at.layout.quarantine)).toEqual([digest.replace(':', '-')])
  await at.push(layer)
  expect((await at.blob(digest)).body.equals(layer)).toBe(true)
  const metrics = await (await fetch(`${at.layover.url}/metrics`)).text()
  expect(metrics).toMatch(/^layover_damaged_total\{area="pushed"\} 1$/m)
  expect(metrics).toMatch(/^layover_scrubs_total\{result="done"\} 1$/m)
})

test('it runs each month and not at each start', async () => {
  await using at = await scene()
  await at.push(bytes(1_000))
  expect(await at.scrubbed(hourMs)).toMatchObject({ level: 'info', files: 1 })
  const ended = await stat(at.layout.scrub)
  await at.layover.restart()
  at.clock.advance(2 * hourMs)
  at.clock.advance(dayMs)
  await at.push(bytes(2_000))
  expect((await stat(at.layout.scrub)).mtimeMs).toBe(ended.mtimeMs)
  expect(await at.scrubbed(30 * dayMs)).toMatchObject({ files: 2 })
  expect(at.scrubs()).toHaveLength(2)
})

test('a stop ends a scrub that waits for its turn to read, and knows that it is not over', async () => {
  await using at = await pushScene({ scrub: { ...setting.scrub, bytesPerSecond: 1 } })
  await at.push(bytes(1_000))
  const { scrub } = new Layout(at.layover.storePath)
  at.clock.advance(hourMs)
  await vi.waitFor(() => stat(scrub)) // begun
  await at.layover.restart()
  expect(JSON.parse(await readFile(scrub, 'utf8'))).not.toHaveProperty('endedAt')
})
