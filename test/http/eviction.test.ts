/** A cap on what is cached, as clients and upstreams see it. */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import type { Digest } from '../../src/oci/digest.ts'
import { Layout } from '../../src/store/layout.ts'
import { readContent } from '../fake/bytes.ts'
import { type Bundle, image, index } from '../fake/content.ts'
import { type AdminAsk, askSocket } from './admin/client.ts'
import { hub, type Scene, type SceneSetting, scene } from './scene.ts'

const hourMs = 3_600_000
const Infinite = Number.POSITIVE_INFINITY

/** Images of one layer of 100 000 bytes each. */
const images = Array.from({ length: 8 }, (_, at) => image(`evicted-${at}`, { layers: [100_000] }))

async function world(setting: SceneSetting = {}) {
  const at = await scene({ capacity: { maxBytes: 350_000, minFree: undefined }, ...setting })
  for (const [number, bundle] of images.entries()) at.net.hub.put('library/app', `v${number}`, bundle)
  return at
}

const layerOf = ({ blobs }: Bundle) => {
  const [largest] = blobs.toSorted((a, b) => b.size - a.size)
  if (!largest) throw new Error('an image without a blob')
  return largest
}

const bundleOf = (number: number): Bundle => {
  const bundle = images[number]
  if (!bundle) throw new Error(`no image ${number}`)
  return bundle
}

/** As a client does; with every byte looked at. */
async function pull(at: Scene, number: number, tag = `v${number}`): Promise<void> {
  const bundle = bundleOf(number)
  const manifest = await at.ask(`/v2/library/app/manifests/${tag}`)
  expect([manifest.status, manifest.headers['docker-content-digest']]).toEqual([200, bundle.digest])
  for (const { digest, content } of bundle.blobs) {
    const { status, body } = await at.ask(`/v2/library/app/blobs/${digest}`)
    expect([status, body.equals(readContent(content))]).toEqual([200, true])
  }
}

const fetchesOf = (at: Scene, number: number) =>
  at.net.requests().filter(({ path }) => path.includes(layerOf(bundleOf(number)).digest)).length

/** In one turn: what goes and what comes meanwhile would else be counted both. */
function cachedBytes({ layover }: Scene): number {
  let bytes = 0
  for (const area of ['cached', 'partial']) {
    const folder = join(layover.storePath, area)
    if (!existsSync(folder)) continue
    for (const entry of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      const found = statSync(join(folder, entry), { throwIfNoEntry: false })
      if (found?.isFile() && !entry.endsWith('.note')) bytes += found.size
    }
  }
  return bytes
}

const here = ({ layover }: Scene, number: number) => {
  const [, hex = ''] = layerOf(bundleOf(number)).digest.split(':')
  return stat(join(layover.storePath, 'cached/sha256', hex.slice(0, 2), hex)).then(
    () => true,
    () => false,
  )
}

/** The manifest, and the record of its tag or digest: what is pinned follows from them. */
function expectOnDisk({ layover }: Scene, digest: Digest, reference: string): void {
  expect(existsSync(new Layout(layover.storePath).cached(digest))).toBe(true)
  const records = readdirSync(join(layover.storePath, 'names'), { recursive: true, encoding: 'utf8' })
  expect(records.map(path => basename(path))).toContain(reference.replace(':', '-'))
}

test('what was pulled longest ago makes room, and is fetched again when it is asked for', async () => {
  await using at = await world()
  for (const number of [0, 1, 2, 3, 4]) {
    await pull(at, number)
    at.clock.advance(hourMs)
  }
  await vi.waitFor(async () => expect(await here(at, 4)).toBe(true))
  expect([await here(at, 0), await here(at, 4)]).toEqual([false, true])
  at.net.clearRequests()
  await pull(at, 0)
  expect(fetchesOf(at, 0)).toBeGreaterThan(0)
  const metrics = await (await fetch(`${at.layover.url}/metrics`)).text()
  expect(metrics).toMatch(/^layover_evictions_total\{upstream="docker.io",reason="size"\} [1-9]/m)
})

test('however much is pulled at once, no more than the cap is ever on disk, and every pull is right', async () => {
  await using at = await world({ realTime: true })
  const pulls = Promise.all([...images.keys(), ...images.keys()].map(number => pull(at, number)))
  const ended = pulls.then(() => true)
  do expect(cachedBytes(at)).toBeLessThanOrEqual(350_000)
  while (!(await Promise.race([ended, setImmediate(false)])))
})

test('a blob larger than the cap is passed through whole, and costs nothing that is cached', async () => {
  await using at = await world({ realTime: true })
  await pull(at, 0)
  await vi.waitFor(async () => expect(await here(at, 0)).toBe(true))
  const large = image('beyond', { layers: [400_000] })
  at.net.hub.put('library/app', 'large', large)
  const layer = layerOf(large)
  await at.ask('/v2/library/app/manifests/large')
  const answers = await Promise.all([1, 2, 3].map(() => at.ask(`/v2/library/app/blobs/${layer.digest}`)))
  for (const { status, body } of answers)
    expect([status, body.equals(readContent(layer.content))]).toEqual([200, true])
  expect(await here(at, 0)).toBe(true)
  expect(cachedBytes(at)).toBeLessThan(350_000)
})

test('what is pinned stays whatever comes, and goes when the configuration no longer says so', async () => {
  const pins = [{ match: 'library/app', tags: 'v0' }]
  await using at = await world({ upstreams: net => [hub(net, { keeping: { pins } })] })
  await pull(at, 0)
  await at.layover.restart() // then it is known what is pinned, before anything goes
  for (const number of [0, 1, 2, 3, 4, 5]) {
    await pull(at, number)
    at.clock.advance(hourMs)
  }
  await vi.waitFor(async () => expect(await here(at, 5)).toBe(true))
  expect([await here(at, 0), await here(at, 1)]).toEqual([true, false])
  const [upstream] = at.layover.config.upstreams
  if (!upstream) throw new Error('no upstream')
  const unpinned = { ...upstream, keeping: { ...upstream.keeping, pins: [] } }
  await at.layover.reload({ ...at.layover.config, upstreams: [unpinned] })
  at.clock.advance(100 * hourMs)
  for (const number of [6, 7, 1, 2]) {
    await pull(at, number)
    at.clock.advance(hourMs)
  }
  await vi.waitFor(async () => expect(await here(at, 0)).toBe(false))
})

test.each([
  { what: 'a tag of many platforms', tags: 'many', reference: 'many' },
  { what: 'a manifest asked for by digest', tags: undefined, reference: bundleOf(0).digest },
])('what is pinned is so as soon as it has come, within the hour: $what', async ({ tags, reference }) => {
  const pins = [{ match: 'library/pinned', tags }]
  await using at = await world({ upstreams: net => [hub(net, { keeping: { pins } })] })
  const many = index([bundleOf(0)])
  at.net.hub.put('library/pinned', 'many', many)
  for (const path of [`manifests/${reference}`, `manifests/${bundleOf(0).digest}`])
    expect((await at.ask(`/v2/library/pinned/${path}`)).status).toBe(200)
  await at.warm(`/v2/library/pinned/blobs/${layerOf(bundleOf(0)).digest}`)
  const { digest } = reference === 'many' ? many : bundleOf(0)
  await vi.waitFor(() => expectOnDisk(at, digest, reference))
  for (const number of [1, 2, 3, 4, 5]) {
    at.clock.advance(60_000)
    await pull(at, number)
  }
  await vi.waitFor(async () => expect(await here(at, 5)).toBe(true))
  expect([await here(at, 0), await here(at, 1)]).toEqual([true, false])
})

test.each([
  ['an image', 'library/app:v0'],
  ['a digest', `library/app@${bundleOf(0).digest}`],
  ['a repository', 'library/app'],
])('%s that an operator pinned stays, over a restart, until it is unpinned', async (_, name) => {
  await using at = await world({ capacity: { maxBytes: 350_000 } })
  const pins = (asked: AdminAsk) => askSocket(at.layover, '/pins', asked)
  await pull(at, 0)
  expect((await pins({ method: 'PUT', body: { name } })).status).toBe(200)
  await at.layover.restart()
  expect((await pins({})).body).toEqual({ pins: [{ name: `docker.io/${name}` }] })
  await pins({ method: 'PUT', body: { name } })
  for (const number of [1, 2, 3, 4]) {
    at.clock.advance(hourMs)
    await pull(at, number)
  }
  expect(await here(at, 0)).toBe(true)
  expect((await pins({ method: 'DELETE', query: { name } })).status).toBe(200)
  expect((await pins({})).body).toEqual({ pins: [] })
  at.clock.advance(100 * hourMs)
  for (const number of [5, 6, 7]) await pull(at, number)
  await vi.waitFor(async () => expect(await here(at, 0)).toBe(false))
})

test('what nobody asks for any more goes after the time set', async () => {
  const keeping = { unusedMs: 30 * 24 * hourMs, maxBytes: Infinite, pins: [] }
  await using at = await world({
    upstreams: net => [hub(net, { keeping })],
    capacity: { maxBytes: Infinite },
  })
  await pull(at, 0)
  await vi.waitFor(async () => expect(await here(at, 0)).toBe(true))
  at.clock.advance(29 * 24 * hourMs)
  await pull(at, 1)
  await vi.waitFor(
    async () => {
      at.clock.advance(6 * hourMs) // it is looked for what may go every now and then
      expect(await here(at, 0)).toBe(false)
    },
    { timeout: 5_000, interval: 50 }, // in all less than what is left to the other
  )
  expect(await here(at, 1)).toBe(true)
})

test('an image is in use as long as its manifest is asked for, by who has its layers too', async () => {
  await using at = await world()
  await pull(at, 0)
  await vi.waitFor(async () => expect(await here(at, 0)).toBe(true))
  for (const number of [1, 2, 3, 4]) {
    at.clock.advance(2 * hourMs)
    expect((await at.ask('/v2/library/app/manifests/v0', { method: 'HEAD' })).status).toBe(200)
    const { digest } = bundleOf(0)
    await vi.waitFor(async () => {
      at.clock.advance(50) // a use is noted a little later
      const { body } = await askSocket(at.layover, '/images', { query: { name: `library/app@${digest}` } })
      const pulledAt = new Date(at.clock.now() - hourMs).toISOString()
      expect(JSON.stringify(body)).toContain('"pulledAt":"')
      expect(JSON.stringify(body).replace(/.*"pulledAt":"([^"]*)".*/, '$1') > pulledAt).toBe(true)
    })
    await pull(at, number)
  }
  expect(await here(at, 0)).toBe(true)
})

test('who reads an evicted blob gets it whole', async () => {
  await using at = await world()
  const large = image('read on', { layers: [340_000] })
  at.net.hub.put('library/app', 'large', large)
  const layer = layerOf(large)
  const path = `/v2/library/app/blobs/${layer.digest}`
  await at.ask('/v2/library/app/manifests/large')
  await at.warm(path)
  const reading = await at.open(path)
  at.clock.advance(hourMs)
  for (const number of [1, 2]) await pull(at, number)
  const chunks: Buffer[] = []
  for await (const chunk of reading) chunks.push(chunk as Buffer)
  expect(Buffer.concat(chunks).equals(readContent(layer.content))).toBe(true)
})
