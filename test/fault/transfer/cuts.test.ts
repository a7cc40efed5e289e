/** Upstreams that end, stall or break off in the middle of a blob: clients see one whole right body. */
import { describe, expect, test } from 'vitest'
import { ranged } from '../../fake/answer.ts'
import type { FaultSpec } from '../../fake/fault.ts'
import { download, expectHonest, expectWhole, openDownload } from '../download.ts'
import {
  auditStore,
  impatient,
  kiB,
  miB,
  partialsOf,
  type Scene,
  type SceneOptions,
  startScene,
} from '../scene.ts'

const size = 300_000
const positions = [0, 1, 64 * kiB - 1, 64 * kiB, 64 * kiB + 1, size / 2, size - 1]
const path = /\/blobs\//

/** The store holds the blob and nothing else, and gives it without upstream. */
async function expectKept(at: Scene, blob: Awaited<ReturnType<Scene['listedBlob']>>) {
  const asked = at.gets(blob).length
  expectWhole(await download(at.blobUrl(blob)), blob)
  expect(at.gets(blob)).toHaveLength(asked)
  await at.layover.stop()
  expect(await auditStore(at.layover.storePath)).toContain(blob.digest)
  expect(await partialsOf(at.layover.storePath)).toEqual([])
}

/** The fault meets the first try at the position, and all further ones before their first byte. */
async function expectTold(at: Scene, kind: 'fin' | 'rst' | 'stall', position: number) {
  const blob = at.blob('cut', size)
  const fault = at.net.fault({ kind, at: 0, path, skip: 1 })
  at.net.fault({ kind, at: position, path, times: 1 })
  expect(expectHonest(await download(at.blobUrl(blob)), blob)).not.toBe('whole')
  expect(at.gets(blob).length).toBeLessThanOrEqual(5)
  await fault.off()
  at.clock.advance(60_000)
  expectWhole(await download(at.blobUrl(blob)), blob)
  await expectKept(at, blob)
}

describe.each(positions)('upstream breaks off after %i bytes', position => {
  test.each(['fin', 'rst'] as const)('with %s: the client gets one whole right body', async kind => {
    await using at = await startScene()
    const blob = at.blob('cut', size)
    at.net.fault({ kind, at: position, path, times: 1 })
    expectWhole(await download(at.blobUrl(blob)), blob)
    const [, second, ...more] = at.gets(blob)
    expect(more).toEqual([])
    // Bytes that were on their way may be lost with a reset connection.
    const [, resumedAt = '0'] = /^bytes=(\d+)-$/.exec(second?.headers.range ?? '') ?? []
    if (kind === 'fin') expect(Number(resumedAt)).toBe(position)
    else expect(Number(resumedAt)).toBeLessThanOrEqual(position)
    await expectKept(at, blob)
  })

  test('with the clean end of a chunked body: resumed where the size is known from the manifest', async () => {
    await using at = await startScene()
    const blob = await at.listedBlob('ended', size)
    at.net.fault({ kind: 'short-chunked', length: position, path, times: 1 })
    expectWhole(await download(at.blobUrl(blob)), blob)
    await expectKept(at, blob)
  })

  test('with the clean end of a chunked body of unknown size: no clean end for the client', async () => {
    await using at = await startScene()
    const blob = at.blob('ended', size)
    at.net.fault({ kind: 'short-chunked', length: position, path, times: 1 })
    expect(expectHonest(await download(at.blobUrl(blob)), blob)).not.toBe('whole')
    expectWhole(await download(at.blobUrl(blob)), blob)
    await expectKept(at, blob)
  })

  test.each([
    'fin',
    'rst',
  ] as const)('with %s each time: the client is told, and nothing wrong is kept', async kind => {
    await using at = await startScene()
    await expectTold(at, kind, position)
  })
})

test.each([
  1,
  64 * kiB,
  size - 1,
])('a stall after %i bytes: one whole right body once the idle time is over', async position => {
  await using at = await startScene(impatient)
  const blob = at.blob('stalled', size)
  at.net.fault({ kind: 'stall', at: position, path, times: 1 })
  expectWhole(await download(at.blobUrl(blob)), blob)
  expect(at.gets(blob).map(({ headers }) => headers.range)).toEqual([undefined, `bytes=${position}-`])
  await expectKept(at, blob)
})

test('a stall before the first byte: nobody waits for it twice, and the next pull is right', async () => {
  await using at = await startScene(impatient)
  const blob = at.blob('stalled', size)
  at.net.fault({ kind: 'stall', at: 0, path, times: 1 })
  expect(expectHonest(await download(at.blobUrl(blob)), blob)).not.toBe('whole')
  expectWhole(await download(at.blobUrl(blob)), blob)
  await expectKept(at, blob)
})

test('a stall each time: the client is told, and nothing wrong is kept', async () => {
  const timeouts = { connectMs: 5_000, headersMs: 25_000, revalidateMs: 3_000, idleMs: 300 }
  await using at = await startScene({ options: { timeouts } }) // whoever looks stalled too early may do so
  await expectTold(at, 'stall', size / 2)
})

test('two cuts in 60 MiB: one whole right body for at most 1.05 upstream copies', async () => {
  await using at = await startScene({ registry: 'hub' })
  const blob = at.blob('large', 60 * miB)
  at.net.fault({ kind: 'fin', at: 20 * miB, path, times: 1 })
  at.net.fault({ kind: 'fin', at: 25 * miB, path, times: 1 })
  expectWhole(await download(at.blobUrl(blob)), blob)
  const bytes = at.gets(blob).reduce((sum, { bodyBytes }) => sum + bodyBytes, 0)
  expect(bytes).toBeLessThanOrEqual(1.05 * blob.size)
  await expectKept(at, blob)
})

describe('a resumed blob', () => {
  /** The first answer breaks off half-way; `next` meets the try after it. */
  async function resumed(next: FaultSpec | undefined, options: SceneOptions = {}) {
    const at = await startScene(options)
    const blob = at.blob('resumed', size)
    at.net.fault({ kind: 'fin', at: size / 2, path, times: 1 })
    if (next) at.net.fault(next)
    return { at, blob, found: await download(at.blobUrl(blob)) }
  }

  test('is asked for through a fresh redirect, which may lead to another CDN', async () => {
    const { at, blob, found } = await resumed(undefined, { registry: 'hub' })
    await using _ = at
    expectWhole(found, blob)
    expect(at.gets(blob).map(({ host, status }) => [host, status])).toEqual([
      ['cdn-a.test', 200],
      ['cdn-b.test', 206],
    ])
    await expectKept(at, blob)
  })

  test('never uses a signed URL that has expired meanwhile', async () => {
    await using at = await startScene({ ...impatient, registry: 'hub' })
    const blob = at.blob('resumed', size)
    const stalled = at.net.fault({ kind: 'stall', at: size / 2, path, times: 1 })
    const reading = download(at.blobUrl(blob))
    await stalled.reached
    at.clock.advance(2 * at.net.cdn.lifeMs)
    expectWhole(await reading, blob)
    expect(at.gets(blob).map(({ status }) => status)).toEqual([200, 206])
  })

  test('survives a CDN that refuses the fresh URL once', async () => {
    const { at, blob, found } = await resumed(
      { kind: 'status', status: 403, body: '<Error/>', host: 'cdn-b.test', times: 1 },
      { registry: 'hub' },
    )
    await using _ = at
    expectWhole(found, blob)
  })

  test('survives an upstream that answers a range with everything, whose prefix is left out', async () => {
    const { at, blob, found } = await resumed({ kind: 'ignore-range', path })
    await using _ = at
    expectWhole(found, blob)
    expect(at.gets(blob)).toHaveLength(2)
    await expectKept(at, blob)
  })

  /** Faults that answer count every try, the first one too: it is to be spared. */
  const firstSpared = { path, times: 1, skip: 1 }

  test.each([
    { ...firstSpared, kind: 'status', status: 502, body: '<html>bad gateway</html>', times: 2 },
    { ...firstSpared, kind: 'status', status: 416 },
    { ...firstSpared, kind: 'drop', times: 2 },
    { ...firstSpared, kind: 'drop', how: 'rst', times: 2 },
    { ...firstSpared, kind: 'html' },
    { kind: 'early-hints', path },
    { kind: 'fin', at: 1, path, times: 3 },
    { kind: 'chunked', path },
    { kind: 'wrong-start', path, times: 1 },
    { kind: 'wrong-start', by: -1, path, times: 1 },
    { kind: 'wrong-total', path, times: 1 },
    { kind: 'short', length: 1_000, path, times: 1 },
    { kind: 'gzip', path, times: 1 },
  ] satisfies FaultSpec[])('is whole although the next tries meet %o', async next => {
    const { at, blob, found } = await resumed(next)
    await using _ = at
    expectWhole(found, blob)
    await expectKept(at, blob)
  })

  test('is no clean wrong body when the rest is corrupt, and the next pull is right', async () => {
    const { at, blob, found } = await resumed({ kind: 'corrupt', at: 10, path, times: 1 })
    await using _ = at
    expect(expectHonest(found, blob)).toBe('broken')
    expectWhole(await download(at.blobUrl(blob)), blob)
    await expectKept(at, blob)
  })

  test('is whole although upstream refuses ranges', async () => {
    await using at = await startScene()
    const blob = at.blob('no ranges', size)
    at.origin.habits.blobRedirect = request =>
      request.headers.range === undefined
        ? ranged(request, blob.content, {})
        : { status: 400, headers: {}, body: { content: blob.content, first: 0, end: 0 } }
    at.net.fault({ kind: 'fin', at: size / 2, path, times: 1 })
    expectWhole(await download(at.blobUrl(blob)), blob)
    await expectKept(at, blob)
  })

  test('is whole although upstream broke off only after the last byte of a chunked body', async () => {
    await using at = await startScene()
    const blob = at.blob('chunked', size)
    at.origin.habits.blobRedirect = request => {
      const answer = ranged(request, blob.content, {})
      const { 'content-length': _, ...headers } = answer.headers
      return { ...answer, headers }
    }
    at.net.fault({ kind: 'fin', at: size, path, times: 1 })
    expectWhole(await download(at.blobUrl(blob)), blob)
    await expectKept(at, blob)
  })
})

test('a burst of 503 before the first byte: one is unseen, more are told with Retry-After', async () => {
  await using at = await startScene()
  const blob = at.blob('burst', size)
  at.net.fault({ kind: 'status', status: 503, body: '<html>busy</html>', path, times: 1 })
  expectWhole(await download(at.blobUrl(blob)), blob)
  const other = at.blob('longer burst', size)
  const fault = at.net.fault({ kind: 'status', status: 503, body: '<html>busy</html>', path })
  const found = await download(at.blobUrl(other))
  expect(found.status).toBe(503)
  expect(Number(found.headers['retry-after'])).toBeGreaterThan(0)
  expect(found.bytes.toString()).toContain(at.host)
  await fault.off()
  expectWhole(await download(at.blobUrl(other)), other)
})

test('a kept-alive connection that upstream closed is no failure', async () => {
  await using at = await startScene()
  const [first, second] = [at.blob('first', 1_000), at.blob('second', size)]
  expectWhole(await download(at.blobUrl(first)), first)
  at.net.fault({ kind: 'drop-reused', path, times: 1 })
  expectWhole(await download(at.blobUrl(second)), second)
})

test('all who follow a blob see its cut mended, whenever they came', async () => {
  await using at = await startScene(impatient)
  const blob = at.blob('shared', 4 * miB)
  const stalled = at.net.fault({ kind: 'stall', at: 2 * miB, path, times: 1 })
  const early = await openDownload(at.blobUrl(blob))
  await stalled.reached
  const late = Array.from({ length: 5 }, () => download(at.blobUrl(blob)))
  for (const found of await Promise.all([early.finish(), ...late])) expectWhole(found, blob)
  expect(at.gets(blob)).toHaveLength(2)
})
