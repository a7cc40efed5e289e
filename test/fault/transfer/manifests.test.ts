/** Upstreams whose manifests break off, lie or are made to do harm: an honest error, nothing kept, and right the next time. */
import { describe, expect, test } from 'vitest'
import { image, raw, single } from '../../fake/content.ts'
import type { FaultSpec } from '../../fake/fault.ts'
import { download, expectWhole } from '../download.ts'
import { auditStore, impatient, miB, type Scene, type SceneOptions, startScene } from '../scene.ts'

const path = /\/manifests\//
const bundle = image('app')
const size = bundle.root.body.length

async function startWithImage(options: SceneOptions = {}) {
  const at = await startScene(options)
  at.put('1', bundle)
  return at
}

async function expectManifest(at: Scene, reference: string, { root } = bundle) {
  const found = await download(at.manifestUrl(reference))
  expect(found).toMatchObject({ status: 200, whole: true })
  expect(found.headers['content-type']).toBe(root.mediaType)
  expect(found.headers['docker-content-digest']).toBe(root.digest)
  expect(found.bytes.equals(root.body)).toBe(true)
}

async function expectRefused(at: Scene, reference: string) {
  const found = await download(at.manifestUrl(reference))
  expect(found.whole).toBe(true)
  expect([503, 504]).toContain(found.status)
  expect(Number(found.headers['retry-after'])).toBeGreaterThan(0)
  expect(found.bytes.toString()).toContain(at.host)
  expect(found.bytes.length).toBeLessThan(4_096)
}

const breaks: FaultSpec[] = [0, 1, Math.floor(size / 2), size - 1].flatMap(at => [
  { kind: 'fin', at } as const,
  { kind: 'rst', at } as const,
  { kind: 'short-chunked', length: at } as const,
  { kind: 'short', length: at } as const,
  { kind: 'corrupt', at } as const,
])
const lies: FaultSpec[] = [
  { kind: 'stall', at: 1 },
  { kind: 'extra', bytes: 1 },
  { kind: 'extra', bytes: 100_000 },
  { kind: 'html' },
  { kind: 'big-error', status: 500 },
  { kind: 'status', status: 503, body: '<html>busy</html>' },
]

describe.each(['1', bundle.digest])('manifest %s', reference => {
  test.each([...breaks, ...lies])('is an honest error with %o, and right the next time', async fault => {
    await using at = await startWithImage(impatient)
    const active = at.net.fault({ ...fault, path })
    await expectRefused(at, reference)
    await active.off()
    at.clock.advance(60_000)
    await expectManifest(at, reference)
    await at.layover.stop()
    expect(await auditStore(at.layover.storePath)).toEqual([bundle.digest])
  })

  test.each([
    { kind: 'no-digest' },
    { kind: 'chunked' },
    { kind: 'gzip' },
    { kind: 'early-hints' },
    { kind: 'headers', set: { 'content-type': 'text/plain' } },
    { kind: 'headers', remove: ['content-type'] },
    { kind: 'drop-reused' },
  ] satisfies FaultSpec[])('is right with %o', async oddity => {
    await using at = await startWithImage()
    await download(at.manifestUrl('none'))
    at.net.fault({ ...oddity, path })
    await expectManifest(at, reference)
    await expectManifest(at, reference)
    await at.layover.stop()
    expect(await auditStore(at.layover.storePath)).toEqual([bundle.digest])
  })
})

test('a tag whose digest upstream misstates is refused; by its own digest it is right', async () => {
  await using at = await startWithImage()
  at.net.fault({ kind: 'wrong-digest', path })
  await expectRefused(at, '1')
  await expectManifest(at, bundle.digest)
})

describe('a manifest larger than the limit', () => {
  /** More than the buffers of a connection take, so that the upstream notices who does not read on. */
  const large = image('large', { padding: 32 * miB })

  test.each([
    { kind: 'early-hints' },
    { kind: 'chunked' },
  ] satisfies FaultSpec[])('is refused with %o, and not read to its end', async oddity => {
    await using at = await startScene()
    at.put('1', large)
    at.net.fault({ ...oddity, path })
    await expectRefused(at, '1')
    await expectRefused(at, large.digest)
    for (const entry of at.net.requests({ path })) {
      await entry.closed
      expect(entry.outcome).toBe('cut')
    }
    await at.layover.stop()
    expect(await auditStore(at.layover.storePath)).toEqual([])
  })

  test('is refused when it only unpacks to that size', async () => {
    await using at = await startScene()
    at.put('1', large)
    at.net.fault({ kind: 'gzip', path })
    await expectRefused(at, '1')
  })

  test('is given when the limit is just as large', async () => {
    await using at = await startScene()
    const fits = image('fits', { padding: 4 * miB - 4_096 })
    at.put('1', fits)
    await expectManifest(at, '1', fits)
  })
})

describe('a manifest made to do harm', () => {
  const type = bundle.root.mediaType
  const deep = (open: string, close: string) =>
    `{"schemaVersion":2,"mediaType":"${type}","annotations":${open.repeat(500_000)}${close.repeat(500_000)}}`

  test.each([
    ['nested arrays', deep('[', ']')],
    ['nested objects', `{"schemaVersion":2,"layers":${'{"a":'.repeat(300_000)}1${'}'.repeat(300_000)}}`],
    ['open brackets', '['.repeat(1_000_000)],
    ['no JSON at all', 'x'.repeat(1_000)],
    ['JSON that is no object', '[1,2,3]'],
    ['null', 'null'],
    [
      'layers that are no descriptors',
      '{"schemaVersion":2,"layers":[null,1,"x",{"digest":7}],"config":"no"}',
    ],
    ['a prototype', '{"schemaVersion":2,"__proto__":{"layers":[]},"constructor":{"prototype":{}}}'],
  ])('(%s) is refused or given as it is, and Layover goes on', async (_name, text) => {
    await using at = await startWithImage()
    const bomb = single(raw(text, type))
    at.put('bomb', bomb)
    for (const reference of ['bomb', bomb.digest]) {
      const found = await download(at.manifestUrl(reference))
      expect(found.whole).toBe(true)
      expect([200, 503]).toContain(found.status)
      if (found.status === 200) expect(found.bytes.equals(bomb.root.body)).toBe(true)
    }
    await expectManifest(at, '1')
    await at.layover.stop()
    await auditStore(at.layover.storePath)
  })
})

test('a manifest with 10 000 layers is given, and its layers are known from it', async () => {
  await using at = await startScene()
  const wide = image('wide', { layers: Array.from({ length: 10_000 }, (_, number) => number % 50) })
  at.put('1', wide)
  await expectManifest(at, '1', wide)
  const last = wide.blobs.at(-1)
  if (!last) throw new Error('the image has no layers')
  at.net.fault({ kind: 'short', length: last.size - 1, path: /\/blobs\//, times: 1 })
  expectWhole(await download(at.blobUrl(last)), last)
  await expectManifest(at, '1', wide)
})
