/** Upstreams that send something else than the blob asked for: no client ends with a clean wrong body, and nothing of it stays. */
import { describe, expect, test } from 'vitest'
import type { FaultSpec } from '../../fake/fault.ts'
import { download, expectHonest, expectWhole, openDownload } from '../download.ts'
import { auditStore, kiB, miB, partialsOf, type Scene, startScene } from '../scene.ts'

const path = /\/blobs\//
const sizes = [1, 1_000, 64 * kiB, 64 * kiB + 1, 300_000]

/** Nothing but whole blobs in the store; the lie left no trace. */
async function expectOnly(at: Scene, digest: string) {
  await at.layover.stop()
  expect((await auditStore(at.layover.storePath)).filter(found => found === digest)).toEqual([digest])
  expect(await partialsOf(at.layover.storePath)).toEqual([])
}

const lies = (size: number): FaultSpec[] => [
  { kind: 'corrupt', at: 0 },
  { kind: 'corrupt', at: Math.floor(size / 2) },
  { kind: 'corrupt', at: size - 1 },
  { kind: 'short', length: size - 1 },
  { kind: 'short', length: 0 },
  { kind: 'short-chunked', length: size - 1 },
  { kind: 'extra', bytes: 1 },
  { kind: 'extra', bytes: 100_000 },
  { kind: 'gzip' },
  { kind: 'html' },
]

describe.each(sizes)('a blob of %i bytes of which nothing is known', size => {
  test.each(lies(size))('never ends clean and wrong when upstream lies each time with %o', async lie => {
    await using at = await startScene()
    const blob = at.blob('lied about', size)
    const fault = at.net.fault({ ...lie, path })
    for (const found of await Promise.all([download(at.blobUrl(blob)), download(at.blobUrl(blob))])) {
      expect(expectHonest(found, blob)).not.toBe('whole')
    }
    await fault.off()
    at.clock.advance(60_000)
    expectWhole(await download(at.blobUrl(blob)), blob)
    await expectOnly(at, blob.digest)
  })
})

describe.each(sizes)('a blob of %i bytes that a manifest lists', size => {
  test.each([
    { kind: 'short', length: size - 1 },
    { kind: 'short', length: 0 },
    { kind: 'extra', bytes: 1 },
    { kind: 'gzip' },
    { kind: 'html' },
  ] satisfies FaultSpec[])('is refused before any header when upstream lies with %o', async lie => {
    await using at = await startScene()
    const blob = await at.listedBlob('lied about', size)
    const fault = at.net.fault({ ...lie, path })
    const found = await download(at.blobUrl(blob))
    expect(found).toMatchObject({ status: 503, whole: true })
    expect(found.bytes.toString()).toContain(at.host)
    await fault.off()
    expectWhole(await download(at.blobUrl(blob)), blob)
    await expectOnly(at, blob.digest)
  })

  test.each(
    lies(size),
  )('is whole if upstream lies once with %o, or never ends clean and wrong', async lie => {
    await using at = await startScene()
    const blob = await at.listedBlob('lied about', size)
    at.net.fault({ ...lie, path, times: 1 })
    expectHonest(await download(at.blobUrl(blob)), blob)
    expectWhole(await download(at.blobUrl(blob)), blob)
    await expectOnly(at, blob.digest)
  })
})

describe('a blob whose headers are odd but whose bytes are right', () => {
  test.each([
    { kind: 'wrong-digest' },
    { kind: 'no-digest' },
    { kind: 'chunked' },
    { kind: 'early-hints' },
    { kind: 'headers', set: { 'content-type': 'text/plain' } },
    { kind: 'headers', remove: ['content-type'] },
    { kind: 'headers', set: { 'content-encoding': 'identity' } },
    { kind: 'headers', set: { 'transfer-encoding': 'chunked' }, remove: ['content-length'] },
    { kind: 'extra', bytes: 10, silent: true },
  ] satisfies FaultSpec[])('is whole with %o', async oddity => {
    await using at = await startScene()
    for (const size of sizes) {
      const blob = at.blob('odd', size)
      at.net.fault({ ...oddity, path, times: 1 })
      expectWhole(await download(at.blobUrl(blob)), blob)
      expectWhole(await download(at.blobUrl(blob)), blob)
    }
    await at.layover.stop()
    expect(await auditStore(at.layover.storePath)).toHaveLength(sizes.length)
  })
})

test('all who follow a corrupt blob are cut, and those who come afterwards get the right one', async () => {
  await using at = await startScene()
  const blob = at.blob('shared lie', 4 * miB)
  const fault = at.net.fault({ kind: 'corrupt', at: 2 * miB, path, times: 1 })
  const readers = await Promise.all(Array.from({ length: 10 }, () => openDownload(at.blobUrl(blob))))
  for (const found of await Promise.all(readers.map(reader => reader.finish()))) {
    expect(expectHonest(found, blob)).toBe('broken')
  }
  expect(fault.hits).toBe(1)
  const next = await Promise.all(Array.from({ length: 10 }, () => download(at.blobUrl(blob))))
  for (const found of next) expectWhole(found, blob)
  expect(at.gets(blob)).toHaveLength(2)
  await expectOnly(at, blob.digest)
})

test('a 10 MB error body is not read to its end, and not passed on', async () => {
  await using at = await startScene()
  const blob = at.blob('refused', 1_000)
  const fault = at.net.fault({ kind: 'big-error', status: 500, path })
  const found = await download(at.blobUrl(blob))
  expect(found.status).toBe(503)
  expect(found.bytes.length).toBeLessThan(4 * kiB)
  for (const entry of at.gets(blob)) {
    await entry.closed
    expect(entry.outcome).toBe('cut')
  }
  await fault.off()
  expectWhole(await download(at.blobUrl(blob)), blob)
})

test('bytes without end are cut off where the manifest says that the blob ends', async () => {
  await using at = await startScene()
  const blob = await at.listedBlob('endless', 100_000)
  const { content } = at.blob('far too much', 64 * miB)
  at.origin.habits.blobRedirect = () => ({
    status: 200,
    headers: {},
    body: { content, first: 0, end: content.size },
  })
  expect(expectHonest(await download(at.blobUrl(blob)), blob)).not.toBe('whole')
  for (const entry of at.gets(blob)) {
    await entry.closed
    expect(entry.outcome).toBe('cut')
  }
  at.origin.habits.blobRedirect = undefined
  expectWhole(await download(at.blobUrl(blob)), blob)
  await expectOnly(at, blob.digest)
})
