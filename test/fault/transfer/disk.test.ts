/** A disk that is too small, full or read-only: every pull goes on, verified as ever, and the cache recovers by itself. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { Containerd } from '../../clients/containerd.ts'
import { multiArch } from '../../fake/content.ts'
import { download, expectHonest, expectWhole, openDownload } from '../download.ts'
import { mayMount, readOnly, tinyDisk } from '../mounts.ts'
import { auditStore, kiB, miB, repository, type Scene, type SceneOptions, startScene } from '../scene.ts'

const path = /\/blobs\//
const diskBytes = 8 * miB
const tooLarge = 20 * miB

async function startOnTinyDisk(options: SceneOptions = {}) {
  const disk = tinyDisk(diskBytes)
  const at = await startScene({ ...options, storePath: disk.path })
  return {
    ...at,
    disk,
    async [Symbol.asyncDispose]() {
      await at[Symbol.asyncDispose]()
      disk[Symbol.dispose]()
    },
  }
}

async function expectKept(at: Scene, blob: Awaited<ReturnType<Scene['listedBlob']>>) {
  const asked = at.gets(blob).length
  expectWhole(await download(at.blobUrl(blob)), blob)
  expect(at.gets(blob)).toHaveLength(asked)
}

describe.skipIf(!mayMount)('(as root, who may mount) a blob larger than the disk', () => {
  test('is pulled whole by several clients at once, and again later', async () => {
    await using at = await startOnTinyDisk()
    const blob = at.blob('too large', tooLarge)
    const readers = await Promise.all(Array.from({ length: 6 }, () => openDownload(at.blobUrl(blob))))
    for (const found of await Promise.all(readers.map(reader => reader.finish()))) expectWhole(found, blob)
    expectWhole(await download(at.blobUrl(blob)), blob)
    await at.layover.stop()
    expect(await auditStore(at.disk.path)).toEqual([])
  })

  test('is pulled whole by a client that was slow while the others went on', async () => {
    await using at = await startOnTinyDisk()
    const blob = at.blob('too large', tooLarge)
    const slow = await openDownload(at.blobUrl(blob))
    expectWhole(await download(at.blobUrl(blob)), blob)
    expectWhole(await slow.finish(), blob)
  })

  test('is pulled although readers who take no bytes hold all the places there are', async () => {
    await using at = await startOnTinyDisk({ limits: { stalledMs: 1_000 } })
    await at.disk.fill()
    const blob = at.blob('too large', tooLarge)
    const paused = await Promise.all(Array.from({ length: 16 }, () => openDownload(at.blobUrl(blob))))
    expectWhole(await download(at.blobUrl(blob)), blob)
    const outcomes = await Promise.all(paused.map(async reader => expectHonest(await reader.finish(), blob)))
    expect(outcomes).toContain('broken') // who was cut off made room
  })

  test('gives ranges: short ones, long ones and open ones', async () => {
    await using at = await startOnTinyDisk()
    const blob = at.blob('too large', tooLarge)
    const ask = (range: string) => download(at.blobUrl(blob), { headers: { range: `bytes=${range}` } })
    expectWhole(await ask('-100'), blob, blob.size - 100)
    expectWhole(await ask(`${15 * miB}-`), blob, 15 * miB)
    expectWhole(await ask(`${5 * miB}-${17 * miB}`), blob, 5 * miB, 17 * miB + 1)
    expectWhole(await ask(`${10 * miB}-${16 * miB}`), blob, 10 * miB, 16 * miB + 1)
  })

  test.each([
    { kind: 'corrupt', at: 10 * miB } as const,
    { kind: 'corrupt', at: 0 } as const,
    { kind: 'short', length: 15 * miB } as const,
    { kind: 'short', length: 10 * miB } as const,
    { kind: 'short-chunked', length: 10 * miB } as const,
    { kind: 'extra', bytes: 100_000 } as const,
  ])('never ends clean and wrong when upstream lies with %o', async lie => {
    await using at = await startOnTinyDisk()
    const blob = at.blob('too large', tooLarge)
    const fault = at.net.fault({ ...lie, path })
    const found = await Promise.all([download(at.blobUrl(blob)), download(at.blobUrl(blob))])
    for (const each of found) expectHonest(each, blob)
    await fault.off()
    expectWhole(await download(at.blobUrl(blob)), blob)
  })

  test('is whole or broken when upstream breaks off in what the disk no longer takes', async () => {
    await using at = await startOnTinyDisk()
    const blob = at.blob('too large', tooLarge)
    at.net.fault({ kind: 'fin', at: 2 * miB, path, skip: 1, times: 1 })
    expectHonest(await download(at.blobUrl(blob)), blob)
    expectWhole(await download(at.blobUrl(blob)), blob)
  })

  test('leaves room for others: a small one is kept afterwards', async () => {
    await using at = await startOnTinyDisk()
    expectWhole(await download(at.blobUrl(at.blob('too large', tooLarge))), at.blob('too large', tooLarge))
    const small = at.blob('small', 1 * miB)
    expectWhole(await download(at.blobUrl(small)), small)
    await expectKept(at, small)
  })
})

describe.skipIf(!mayMount)('(as root, who may mount) a full disk', () => {
  test.each([
    1,
    1_000,
    64 * kiB,
    4 * miB,
  ])('lets blobs of %i bytes through, and keeps them once there is room', async size => {
    await using at = await startOnTinyDisk()
    const blob = await at.listedBlob('squeezed', size)
    await at.disk.fill()
    for (const found of await Promise.all([download(at.blobUrl(blob)), download(at.blobUrl(blob))]))
      expectWhole(found, blob)
    expectWhole(await download(at.blobUrl(blob)), blob)
    await at.disk.empty()
    expectWhole(await download(at.blobUrl(blob)), blob)
    await expectKept(at, blob)
    await at.layover.stop()
    expect(await auditStore(at.disk.path)).toContain(blob.digest)
  })

  test('lets whole images through, and keeps them once there is room', async () => {
    await using at = await startOnTinyDisk()
    const bundle = multiArch('app')
    at.put('1', bundle)
    await at.disk.fill()
    const pull = () => new Containerd({ hosts: [at.layover.url], registry: at.host }).pull(repository, '1')
    expect((await pull()).digest).toBe(bundle.digest)
    expect((await pull()).digest).toBe(bundle.digest)
    await at.disk.empty()
    await pull()
    await at.layover.restart()
    at.net.fault({ host: at.host, kind: 'refuse' })
    expect((await pull()).digest).toBe(bundle.digest)
  })
})

describe.skipIf(!mayMount)('(as root, who may mount) a disk that turns read-only', () => {
  test('lets pulls go on, says so on /readyz, and keeps again once it is writable', async () => {
    await using at = await startScene()
    const [kept, fresh] = [at.blob('kept', 1 * miB), at.blob('fresh', 1 * miB)]
    const bundle = multiArch('app')
    at.put('1', bundle)
    expectWhole(await download(at.blobUrl(kept)), kept)
    await vi.waitFor(async () => expect(await auditStore(at.layover.storePath)).toContain(kept.digest), {
      timeout: 10_000,
    })
    const readiness = async () => (await download(`${at.layover.url}/readyz`)).status
    expect(await readiness()).toBe(200)
    const pull = () => new Containerd({ hosts: [at.layover.url], registry: at.host }).pull(repository, '1')
    {
      using stack = new DisposableStack()
      for (const folder of ['cached', 'partial', 'trash', 'names']) {
        const whole = join(at.layover.storePath, folder)
        await mkdir(whole, { recursive: true })
        stack.use(readOnly(whole))
      }
      expect(await readiness()).toBe(503)
      await expectKept(at, kept)
      expectWhole(await download(at.blobUrl(fresh)), fresh)
      expectWhole(await download(at.blobUrl(fresh)), fresh)
      expect((await pull()).digest).toBe(bundle.digest)
      expect((await pull()).digest).toBe(bundle.digest)
    }
    expect(await readiness()).toBe(200)
    expectWhole(await download(at.blobUrl(fresh)), fresh)
    await expectKept(at, fresh)
    expect((await pull()).digest).toBe(bundle.digest)
    await at.layover.stop()
    expect(await auditStore(at.layover.storePath)).toEqual(
      expect.arrayContaining([kept.digest, fresh.digest]),
    )
  })
})
