/** Many clients on one cold blob: early, late, slow and leaving ones, and one fetch upstream. */
import { describe, expect, test } from 'vitest'
import { Containerd } from '../../clients/containerd.ts'
import { seededBlob } from '../../fake/bytes.ts'
import { artifactOf } from '../../fake/content.ts'
import { download, expectHonest, expectWhole, openDownload } from '../download.ts'
import { auditStore, kiB, miB, repository, type Scene, startScene } from '../scene.ts'

const path = /\/blobs\//

/** A cold blob whose upstream holds at half until the test lets it go on. */
async function held(size: number, at: number) {
  const scene = await startScene()
  const blob = scene.blob('herd', size)
  const fault = scene.net.fault({ kind: 'stall', at, path, times: 1 })
  return { scene, blob, fault }
}

async function expectOneCopy(at: Scene, blob: { digest: string; size: number }) {
  expect(at.gets(blob)).toHaveLength(1)
  expect(at.gets(blob)[0]?.bodyBytes).toBe(blob.size)
  await at.layover.stop()
  expect(await auditStore(at.layover.storePath)).toEqual([blob.digest])
}

describe('50 readers of one cold blob', () => {
  test('who come at once all get the right bytes, for one upstream GET', async () => {
    const { scene: at, blob, fault } = await held(4 * miB, 2 * miB)
    await using _ = at
    const readers = Array.from({ length: 50 }, () => openDownload(at.blobUrl(blob)))
    const answered = await Promise.all(readers)
    fault.release()
    for (const found of await Promise.all(answered.map(reader => reader.finish()))) expectWhole(found, blob)
    await expectOneCopy(at, blob)
  })

  test('who come when half of it is here, or all but the digest, get it from its start', async () => {
    for (const position of [2 * miB, 4 * miB - 1]) {
      const { scene: at, blob, fault } = await held(4 * miB, position)
      await using _ = at
      const first = await openDownload(at.blobUrl(blob))
      await fault.reached
      await first.take(position - 64 * kiB)
      const late = await Promise.all(Array.from({ length: 49 }, () => openDownload(at.blobUrl(blob))))
      fault.release()
      for (const reader of [first, ...late]) expectWhole(await reader.finish(), blob)
      await expectOneCopy(at, blob)
    }
  })

  test('of whom most leave half-way: the others do not notice', async () => {
    const { scene: at, blob, fault } = await held(4 * miB, 2 * miB)
    await using _ = at
    const readers = await Promise.all(Array.from({ length: 50 }, () => openDownload(at.blobUrl(blob))))
    await fault.reached
    const [first, ...others] = readers
    for (const reader of others.slice(0, 40)) reader.leave()
    first?.leave()
    fault.release()
    for (const reader of others.slice(40)) expectWhole(await reader.finish(), blob)
    await expectOneCopy(at, blob)
  })

  test('of whom some read nothing until the others are done: nobody waits for them, and they get it all', async () => {
    await using at = await startScene()
    const blob = at.blob('slow readers', 16 * miB)
    const slow = await Promise.all(Array.from({ length: 10 }, () => openDownload(at.blobUrl(blob))))
    const quick = await Promise.all(Array.from({ length: 10 }, () => download(at.blobUrl(blob))))
    for (const found of quick) expectWhole(found, blob)
    expectWhole(await download(at.blobUrl(blob)), blob)
    for (const reader of slow) expectWhole(await reader.finish(), blob)
    await expectOneCopy(at, blob)
  })

  test('who all leave: the fetch ends by itself, and whoever comes next gets the right bytes', async () => {
    const { scene: at, blob, fault } = await held(4 * miB, 2 * miB)
    await using _ = at
    const readers = await Promise.all(Array.from({ length: 50 }, () => openDownload(at.blobUrl(blob))))
    await fault.reached
    for (const reader of readers) reader.leave()
    fault.release()
    const [entry] = at.gets(blob)
    await entry?.closed
    expect(entry?.outcome).toBe('finished')
    expectWhole(await download(at.blobUrl(blob)), blob)
    await expectOneCopy(at, blob)
  })

  test('who ask for different open-ended ranges get their bytes from the one fetch', async () => {
    const { scene: at, blob, fault } = await held(4 * miB, 2 * miB)
    await using _ = at
    const starts = Array.from({ length: 50 }, (_, number) => Math.floor((number * blob.size) / 50))
    const answers = starts.map(first => download(at.blobUrl(blob), { headers: { range: `bytes=${first}-` } }))
    await fault.reached
    fault.release()
    for (const [number, found] of (await Promise.all(answers)).entries())
      expectWhole(found, blob, starts[number])
    await expectOneCopy(at, blob)
  })
})

test('a fetch that has barely begun and nobody wants any more is stopped, and resumed for the next', async () => {
  await using at = await startScene()
  const blob = at.blob('given up', 100 * miB)
  const fault = at.net.fault({ kind: 'stall', at: 8 * miB, path, times: 1 })
  const reader = await openDownload(at.blobUrl(blob))
  await fault.reached
  await reader.take(1 * miB)
  reader.leave()
  const [entry] = at.gets(blob)
  await entry?.closed
  expect(entry?.outcome).toBe('cut')
  expectWhole(await download(at.blobUrl(blob)), blob)
  const [, resumed, ...more] = at.gets(blob)
  expect(more).toEqual([])
  expect(resumed?.headers.range).toMatch(/^bytes=[1-9]\d*-$/)
})

test("containerd's parallel chunks, closed early one after the other, cost one upstream GET", async () => {
  await using at = await startScene()
  const blob = seededBlob('layer', 16 * miB)
  at.put('1', artifactOf([blob]))
  const parallel = { chunkBytes: 1 * miB, connections: 5 }
  const clients = Array.from(
    { length: 3 },
    () => new Containerd({ hosts: [at.layover.url], registry: at.host, parallel }),
  )
  const pulls = await Promise.all(clients.map(client => client.pull(repository, '1')))
  for (const { blobs } of pulls) expect(blobs.get(blob.digest)?.bytes).toHaveLength(blob.size)
  expect(at.gets(blob)).toHaveLength(1)
})

test('a reader that leaves while it waits for the first byte takes nothing from the others', async () => {
  await using at = await startScene()
  const blob = at.blob('slow start', 1 * miB)
  const fault = at.net.fault({ kind: 'hang', path, times: 1 })
  const stayed = download(at.blobUrl(blob))
  await fault.reached
  const leaving = new AbortController()
  const left = fetch(at.blobUrl(blob), { signal: leaving.signal }).catch(() => 'left')
  leaving.abort()
  expect(await left).toBe('left')
  fault.release()
  expect(expectHonest(await stayed, blob)).toBe('whole')
  await expectOneCopy(at, blob)
})
