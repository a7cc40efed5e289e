/** Ranges of blobs that are not here yet: lazy readers wait for no whole blob, and the fill costs one copy. */
import { describe, expect, test } from 'vitest'
import { download, expectHonest, expectWhole, openDownload } from '../download.ts'
import { auditStore, kiB, miB, type Scene, startScene } from '../scene.ts'

const path = /\/blobs\//
const size = 64 * miB

const ask = (at: Scene, blob: { digest: string }, range: string) =>
  download(at.blobUrl(blob), { headers: { range: `bytes=${range}` } })

function isRange({ headers }: { headers: { range?: string | undefined } }) {
  return headers.range !== undefined
}

async function expectFilled(at: Scene, blob: Awaited<ReturnType<Scene['listedBlob']>>) {
  const fill = await at.nextGet(blob, get => !isRange(get)) // the one that the forwarded range set off
  await fill.closed
  expect(fill.outcome).toBe('finished')
  const asked = at.gets(blob).length
  expectWhole(await download(at.blobUrl(blob)), blob)
  expect(at.gets(blob)).toHaveLength(asked)
  await at.layover.stop()
  expect(await auditStore(at.layover.storePath)).toContain(blob.digest)
}

describe('100 bytes from the end of a large cold blob', () => {
  test.each([
    'plain',
    'hub',
  ] as const)('come with at most 1 MiB of upstream bytes (%s), and the fill follows', async registry => {
    await using at = await startScene({ registry })
    const blob = at.blob('lazy', size)
    const reader = await openDownload(at.blobUrl(blob), { headers: { range: 'bytes=-100' } })
    await reader.take(99)
    expect(at.gets(blob).reduce((sum, { bodyBytes }) => sum + bodyBytes, 0)).toBeLessThanOrEqual(miB)
    const found = await reader.finish()
    expectWhole(found, blob, size - 100)
    expect(found.headers['content-range']).toBe(`bytes ${size - 100}-${size - 1}/${size}`)
    await expectFilled(at, blob)
  })

  test('come whole although upstream answers every range with everything', async () => {
    await using at = await startScene()
    const blob = at.blob('no ranges', 8 * miB)
    at.net.fault({ kind: 'ignore-range', path })
    expectWhole(await ask(at, blob, '-100'), blob, blob.size - 100)
    await at.layover.stop()
    expect(await auditStore(at.layover.storePath)).toEqual([blob.digest])
  })

  test('come whole or not at all when upstream breaks off in them, and later they do', async () => {
    await using at = await startScene()
    const blob = at.blob('broken range', 8 * miB)
    at.net.fault({ kind: 'fin', at: 50, path, times: 1 })
    const found = await ask(at, blob, '-100')
    if (found.whole) expectWhole(found, blob, blob.size - 100)
    else expect(found.bytes.length).toBeLessThan(100)
    expectWhole(await ask(at, blob, '-100'), blob, blob.size - 100)
  })

  test.each([
    { kind: 'wrong-start', path, times: 1 } as const,
    { kind: 'wrong-total', path, times: 1 } as const,
    { kind: 'short', length: 50, path, times: 1 } as const,
    { kind: 'extra', bytes: 50, path, times: 1 } as const,
    { kind: 'status', status: 403, path, method: 'GET', times: 1 } as const,
    { kind: 'html', path, method: 'GET', times: 1 } as const,
  ])('are never clean and wrong when upstream answers %o', async fault => {
    await using at = await startScene()
    const blob = at.blob('odd range', 8 * miB)
    at.net.fault(fault)
    const found = await ask(at, blob, '-100')
    if (found.whole && found.status === 206) expectWhole(found, blob, blob.size - 100)
    else if (found.whole) expect(found.status).toBeGreaterThanOrEqual(400)
    expectWhole(await ask(at, blob, '-100'), blob, blob.size - 100)
    expectWhole(await download(at.blobUrl(blob)), blob)
  })
})

test('more short ranges at once than are forwarded all come right, with few upstream requests', async () => {
  await using at = await startScene()
  const blob = at.blob('many ranges', size)
  const starts = Array.from({ length: 20 }, (_, number) => number * 3 * miB)
  const found = await Promise.all(starts.map(first => ask(at, blob, `${first}-${first + 999}`)))
  for (const [number, part] of found.entries()) {
    const first = starts[number] ?? 0
    expectWhole(part, blob, first, first + 1_000)
  }
  const bytes = at.gets(blob).reduce((sum, { bodyBytes }) => sum + bodyBytes, 0)
  expect(bytes).toBeLessThanOrEqual(1.05 * size)
  expect(at.gets(blob).filter(entry => !isRange(entry))).toHaveLength(1)
  await expectFilled(at, blob)
})

describe('while a blob is being fetched', () => {
  async function fetching() {
    const at = await startScene()
    const blob = at.blob('in flight', size)
    const fault = at.net.fault({ kind: 'stall', at: 16 * miB, path, times: 1 })
    const reader = await openDownload(at.blobUrl(blob))
    await fault.reached
    await reader.take(15 * miB)
    return { at, blob, fault, reader }
  }

  test('a short range beyond what is here is forwarded at once, one that is here costs nothing', async () => {
    const { at, blob, fault, reader } = await fetching()
    await using _ = at
    expectWhole(await ask(at, blob, `${40 * miB}-${40 * miB + 99}`), blob, 40 * miB, 40 * miB + 100)
    expect(at.gets(blob)).toHaveLength(2)
    expectWhole(await ask(at, blob, `${8 * miB}-${8 * miB + 99}`), blob, 8 * miB, 8 * miB + 100)
    expectWhole(await ask(at, blob, '0-0'), blob, 0, 1)
    expect(at.gets(blob)).toHaveLength(2)
    fault.release()
    expectWhole(await reader.finish(), blob)
    expect(at.gets(blob)).toHaveLength(2)
  })

  test('long and open ranges wait for its bytes and set off no fetch of their own', async () => {
    const { at, blob, fault, reader } = await fetching()
    await using _ = at
    const long = ask(at, blob, `${20 * miB}-${30 * miB}`)
    const open = ask(at, blob, `${50 * miB}-`)
    const several = download(at.blobUrl(blob), {
      headers: { range: `bytes=0-9,${40 * miB}-${40 * miB + 9}` },
    })
    fault.release()
    expectWhole(await long, blob, 20 * miB, 30 * miB + 1)
    expectWhole(await open, blob, 50 * miB)
    expect(await several).toMatchObject({ status: 206, whole: true })
    expectWhole(await reader.finish(), blob)
    expect(at.gets(blob)).toHaveLength(1)
  })

  test('a range outside of it is refused without a fetch', async () => {
    const { at, blob, fault, reader } = await fetching()
    await using _ = at
    const outside = await ask(at, blob, `${size}-`)
    expect(outside).toMatchObject({ status: 416, whole: true })
    expect(outside.headers['content-range']).toBe(`bytes */${size}`)
    fault.release()
    expectWhole(await reader.finish(), blob)
    expect(at.gets(blob)).toHaveLength(1)
  })
})

test('a range of a blob that turns out to be corrupt may be wrong, but the blob is not kept', async () => {
  await using at = await startScene()
  const blob = at.blob('corrupt range', 300_000)
  at.net.fault({ kind: 'corrupt', at: 200_000, path, times: 2 })
  await ask(at, blob, '0-99')
  expectHonest(await download(at.blobUrl(blob)), blob)
  expectWhole(await download(at.blobUrl(blob)), blob)
  await at.layover.stop()
  expect(await auditStore(at.layover.storePath)).toEqual([blob.digest])
})

test('a reader of a short range who leaves at once does not stop the fill', async () => {
  await using at = await startScene()
  const blob = at.blob('left range', size)
  const reader = await openDownload(at.blobUrl(blob), { headers: { range: `bytes=0-${2 * miB}` } })
  await reader.take(64 * kiB)
  reader.leave()
  await expectFilled(at, blob)
})
