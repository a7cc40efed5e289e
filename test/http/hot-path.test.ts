/** What is asked often is answered from memory: the same as ever, and never a moment longer than it holds. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { image } from '../fake/content.ts'
import { workersOfSuite } from '../support/servers.ts'
import { pushBundle } from './push-client.ts'
import { type Answered, hub, plain, type Scene, scene } from './scene.ts'

const first = image('first', { layers: [300] })
const second = image('second', { layers: [300] })
const minute = 60_000
const local = '/v2/local/app/manifests/v1'
const proxied = '/v2/app/manifests/v1'

async function world() {
  const at = await scene({ upstreams: net => [plain(net), hub(net, { isDefault: false })] })
  at.net.plain.put('app', 'v1', first)
  const to = { url: at.layover.url, name: 'local/app' }
  await pushBundle(to, first, 'v1')
  /** Whatever is answered afterwards comes from memory. */
  const loseDisk = async () => {
    for (const folder of ['pushed', 'cached', 'names'])
      await rm(join(at.layover.storePath, folder), { recursive: true, force: true, maxRetries: 10 })
  }
  return { ...at, to, loseDisk }
}

/** So often, on connections of their own, that each of a few servers was asked twice. */
const manyTimes = 40

/** The first answer to what every process has been asked so many times. */
async function known({ ask }: Pick<Scene, 'ask'>, path: string, times: number): Promise<Answered> {
  const first = await ask(path)
  for (let nth = 1; nth < (workersOfSuite > 1 ? manyTimes : times); nth += 1) await ask(path)
  return first
}

test('a manifest and a small blob that were asked for need no disk the next time', async () => {
  await using at = await world()
  const layer = first.blobs[0]
  const paths = [local, `/v2/local/app/blobs/${layer?.digest}`]
  const before = await Promise.all(paths.map(path => known(at, path, 1)))
  await at.loseDisk()
  for (const [nth, path] of paths.entries()) {
    const again = await at.ask(path)
    expect(again.status).toBe(200)
    expect(again.body.equals(before[nth]?.body ?? Buffer.alloc(0))).toBe(true)
    const { 'x-request-id': _, date: __, ...headers } = again.headers
    expect(before[nth]?.headers).toMatchObject(headers)
  }
  const head = await at.ask(local, { method: 'HEAD' })
  expect([head.status, head.body.length, head.headers['content-length']]).toEqual([
    200,
    0,
    before[0]?.headers['content-length'],
  ])
})

test('whether a blob is here is asked of the disk: who is told so leaves it out of a push', async () => {
  await using at = await world()
  const path = `/v2/local/app/blobs/${first.blobs[0]?.digest}`
  for (const _ of [1, 2]) expect((await at.ask(path)).status).toBe(200)
  expect((await at.ask(path, { method: 'HEAD' })).status).toBe(200)
  await at.loseDisk()
  expect((await at.ask(path, { method: 'HEAD' })).status).toBe(404)
})

async function largeLayer(at: Awaited<ReturnType<typeof world>>) {
  const large = image('large', { layers: [300_000] })
  await pushBundle(at.to, large, 'large')
  const layer = large.blobs.find(({ size }) => size === 300_000)
  return { large, layer, path: `/v2/local/app/blobs/${layer?.digest}` }
}

test('a large blob that is asked for again is kept too', async () => {
  await using at = await world()
  const { layer, path } = await largeLayer(at)
  const first = await known(at, path, 2)
  await at.loseDisk()
  const again = await at.ask(path)
  expect(again.status).toBe(200)
  expect(digestOf(again.body)).toBe(layer?.digest)
  const { 'x-request-id': _, date: __, ...headers } = again.headers
  expect(first?.headers).toMatchObject(headers)
  const lines = () => at.layover.lines.filter(line => line.path === path && line.method === 'GET')
  await expect.poll(() => lines().length).toBe((workersOfSuite > 1 ? manyTimes : 2) + 1)
  const [long, short] = [lines()[0], lines().at(-1)]
  const { time: ____, ms: _____, requestId: ______, ...same } = long ?? {}
  expect(short).toMatchObject(same)
})

test('a large blob that was deleted is so at once', async () => {
  await using at = await world()
  const { large, path } = await largeLayer(at)
  for (let nth = 0; nth < 3; nth += 1) expect((await at.ask(path)).status).toBe(200)
  for (const gone of [`/v2/local/app/manifests/${large.digest}`, path])
    expect((await at.ask(gone, { method: 'DELETE' })).status).toBe(202)
  expect((await at.ask(path)).status).toBe(404)
})

test('what asks for more than the whole goes the long way', async () => {
  await using at = await world()
  await at.ask(local)
  const layer = `/v2/local/app/blobs/${first.blobs[0]?.digest}`
  await at.ask(layer)
  expect((await at.ask(local, { headers: { 'if-none-match': first.digest } })).status).toBe(304)
  expect((await at.ask(layer, { headers: { range: 'bytes=0-9' } })).status).toBe(206)
})

test('a tag that was moved or deleted is so at once, and so is a deleted manifest and blob', async () => {
  await using at = await world()
  const digestOf = async () => (await at.ask(local)).headers['docker-content-digest']
  for (const bundle of [second, first, second]) {
    await digestOf()
    await pushBundle(at.to, bundle, 'v1')
    expect(await digestOf()).toBe(bundle.digest)
    expect(await digestOf()).toBe(bundle.digest)
  }
  const byDigest = `/v2/local/app/manifests/${second.digest}`
  const layer = `/v2/local/app/blobs/${second.blobs[0]?.digest}`
  for (const path of [byDigest, layer]) expect((await at.ask(path)).status).toBe(200)
  expect((await at.ask(byDigest, { method: 'DELETE' })).status).toBe(202)
  expect((await at.ask(layer, { method: 'DELETE' })).status).toBe(202)
  for (const path of [local, byDigest, layer]) expect((await at.ask(path)).status).toBe(404)
})

test('a proxied tag is given no longer than it is fresh, and its age grows', async () => {
  await using at = await world()
  await at.warm(proxied)
  at.clock.advance(2 * minute)
  expect((await at.ask(proxied)).headers.age).toBe('120')
  at.clock.advance(minute)
  expect((await at.ask(proxied)).headers.age).toBe('180')
  expect(at.net.requests()).toEqual([])
  at.net.plain.put('app', 'v1', second)
  at.clock.advance(2 * minute)
  expect((await at.ask(proxied)).headers['docker-content-digest']).toBe(second.digest)
})

test('a reload ends what names led to', async () => {
  await using at = await world()
  await at.ask(local)
  await at.layover.reload({ ...at.layover.config, local: [] })
  expect((await at.ask(local)).status).toBe(404)
})

test('the log and the metrics tell of it as of any other request', async () => {
  await using at = await world()
  const lines = () => at.layover.lines.filter(line => line.msg === 'request' && line.path === local)
  for (let nth = 0; nth < 2; nth += 1) await at.ask(local, { headers: { 'user-agent': 'a "quoted" ä' } })
  await expect.poll(() => lines().filter(({ method }) => method === 'GET').length).toBe(2)
  const [long, short] = lines().filter(({ method }) => method === 'GET')
  expect(Object.keys(short ?? {})).toEqual(Object.keys(long ?? {}))
  const { time: _, ms: __, requestId: ___, ...same } = long ?? {}
  expect(short).toMatchObject(same)
  const { body } = await at.ask('/metrics')
  expect(body.toString()).toContain(
    'layover_requests_total{upstream="local",kind="manifest",outcome="hit",status="200"} 2',
  )
})
