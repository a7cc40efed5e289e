/** A disk that gives out in one place, or takes its time: nobody is served wrong, and nobody else waits. */
import { execFileSync } from 'node:child_process'
import { mkdir, open, rm } from 'node:fs/promises'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { SharedFile } from '../../src/store/files/file.ts'
import { Layout } from '../../src/store/layout.ts'
import { image } from '../fake/content.ts'
import { workersOfSuite } from '../support/servers.ts'
import { download, expectHonest, expectWhole } from './download.ts'
import { auditStore, miB, type Scene, startScene } from './scene.ts'

type Operation = 'read' | 'write' | 'sync' | 'syncAll'
type Interference = (file: SharedFile) => Promise<void> | undefined

/** What comes between a call on a file of the store and the disk, until the test ends. */
function interfere(operations: readonly Operation[], meddle: Interference) {
  for (const operation of operations) {
    const original = SharedFile.prototype[operation] as (this: SharedFile, ...args: never[]) => unknown
    const spy = vi.spyOn(SharedFile.prototype, operation) as unknown as {
      mockImplementation(meddled: (this: SharedFile, ...args: never[]) => unknown): void
      mockRestore(): void
    }
    spy.mockImplementation(async function (...args) {
      await meddle(this)
      return original.apply(this, args)
    })
    onTestFinished(() => spy.mockRestore())
  }
}

const hexOf = (digest: string) => digest.slice(digest.indexOf(':') + 1)
const ioError = () => Promise.reject(Object.assign(new Error('EIO: i/o error'), { code: 'EIO' }))
const failing = (digest: string, isOn: () => boolean): Interference => {
  const hex = hexOf(digest)
  return file => (isOn() && file.path.includes(hex) ? ioError() : undefined)
}

async function keep(at: Scene, ...blobs: readonly ReturnType<Scene['blob']>[]) {
  for (const blob of blobs) {
    expectWhole(await download(at.blobUrl(blob)), blob)
    await vi.waitFor(
      async () => expect(await auditStore(at.layover.storePath)).toContain(blob.digest),
      10_000,
    )
  }
}

test('a blob on disk that cannot be read is never given wrong, and soon whole, with several processes too', async () => {
  await using at = await startScene()
  const blob = at.blob('damaged', 8 * miB)
  await keep(at, blob)
  await at.layover.restart()
  interfere(
    ['read'],
    failing(blob.digest, () => at.gets(blob).length < 2),
  )
  const pulls = []
  do pulls.push(expectHonest(await download(at.blobUrl(blob)), blob))
  while (pulls.at(-1) !== 'whole' && pulls.length < 4)
  expect(pulls.at(-1)).toBe('whole')
  expect(at.gets(blob)).toHaveLength(2)
})

// A server beside the primary reads files by itself, and cuts its client off.
describe.skipIf(workersOfSuite > 1)('a blob on disk that cannot be read', () => {
  test.each([
    ['a small one from its start', 1_000, 0],
    ['a large one from its start', 8 * miB, 0],
    ['a large one from its middle', 8 * miB, 2],
  ])('(%s) is fetched again for who is reading, and kept anew', async (_which, size, reads) => {
    await using at = await startScene()
    const [blob, other] = [at.blob('damaged', size), at.blob('sound', miB)]
    await keep(at, blob, other)
    await at.layover.restart() // nothing is in memory
    let left = reads
    const broken = () => at.gets(blob).length < 2 && left-- <= 0
    interfere(['read'], failing(blob.digest, broken))
    for (const found of await Promise.all([download(at.blobUrl(blob)), download(at.blobUrl(blob))]))
      expectWhole(found, blob)
    expectWhole(await download(at.blobUrl(other)), other)
    expect(at.gets(blob)).toHaveLength(2)
    expect(at.gets(other)).toHaveLength(1)
    await keep(at, blob)
    expect(at.gets(blob)).toHaveLength(2)
    expect(at.layover.lines.filter(({ msg }) => String(msg).includes('cannot be read'))).not.toEqual([])
  })

  test('while upstream is down breaks off or is refused, and is there again with it', async () => {
    await using at = await startScene()
    const blob = at.blob('damaged', 8 * miB)
    await keep(at, blob)
    const refused = at.net.fault({ kind: 'refuse', host: at.host })
    let isBroken = true
    interfere(
      ['read'],
      failing(blob.digest, () => isBroken),
    )
    expect(expectHonest(await download(at.blobUrl(blob)), blob)).not.toBe('whole')
    isBroken = false
    await refused.off()
    at.clock.advance(60_000)
    expectWhole(await download(at.blobUrl(blob)), blob)
  })
})

test('a manifest on disk that cannot be read comes from upstream', async () => {
  await using at = await startScene()
  const app = image('app')
  at.put('v1', app)
  const path = new Layout(at.layover.storePath).cached(app.digest)
  await mkdir(path, { recursive: true }) // opening it succeeds, reading it does not
  for (const reference of ['v1', app.digest, 'v1']) {
    const found = await download(at.manifestUrl(reference))
    expect([found.status, found.bytes.equals(app.root.body)]).toEqual([200, true])
  }
})

describe('a disk that cannot be written in one place', () => {
  test.each([
    ['write', 1_000],
    ['write', 8 * miB],
    ['sync', 1_000],
    ['sync', 8 * miB],
  ] as const)('(a %s of a blob of %i bytes) fails no pull, and the blob is kept as soon as it can be', async (operation, size) => {
    await using at = await startScene()
    const [blob, other] = [at.blob('unlucky', size), at.blob('lucky', miB)]
    let isBroken = true
    interfere(
      [operation],
      failing(blob.digest, () => isBroken),
    )
    for (const found of await Promise.all([download(at.blobUrl(blob)), download(at.blobUrl(blob))]))
      expectWhole(found, blob)
    await keep(at, other)
    isBroken = false
    await at.layover.restart() // a small one is in memory
    await keep(at, blob)
    await at.layover.stop()
    expect(await auditStore(at.layover.storePath)).toHaveLength(2)
  })

  test('(records and manifests) fails no pull, and they are kept as soon as they can be', async () => {
    await using at = await startScene()
    const app = image('app')
    at.put('v1', app)
    let isBroken = true
    interfere(['write'], file => (isBroken && file.path.includes('/trash/') ? ioError() : undefined))
    const pull = async () => {
      for (const reference of ['v1', app.digest]) {
        const found = await download(at.manifestUrl(reference))
        expect([found.status, found.bytes.equals(app.root.body)]).toEqual([200, true])
      }
      for (const blob of app.blobs) expectWhole(await download(at.blobUrl(blob)), blob)
    }
    await pull()
    await pull()
    isBroken = false
    await at.layover.restart()
    await pull()
    await at.layover.restart()
    at.net.fault({ kind: 'refuse', host: at.host })
    await pull()
  })

  test.each([
    'write',
    'sync',
    'syncAll',
  ] as const)('(a %s) refuses a push with Retry-After, keeps what was there, and takes it again', async operation => {
    await using at = await startScene()
    const content = Buffer.alloc(200_000, 'pushed ')
    const push = (bytes: Buffer) =>
      fetch(`${at.layover.url}/v2/local/app/blobs/uploads/?digest=${digestOf(bytes)}`, {
        method: 'POST',
        body: new Uint8Array(bytes),
      })
    const first = Buffer.from('first')
    expect((await push(first)).status).toBe(201)
    let isBroken = true
    interfere([operation], () => (isBroken ? ioError() : undefined))
    const refused = await push(content)
    expect([refused.status, Number(refused.headers.get('retry-after')) > 0]).toEqual([503, true])
    const kept = await fetch(`${at.layover.url}/v2/local/app/blobs/${digestOf(first)}`)
    expect(Buffer.from(await kept.arrayBuffer()).equals(first)).toBe(true)
    isBroken = false
    expect((await push(content)).status).toBe(201)
    const pushed = await fetch(`${at.layover.url}/v2/local/app/blobs/${digestOf(content)}`)
    expect(Buffer.from(await pushed.arrayBuffer()).equals(content)).toBe(true)
  })
})

describe('a disk that stands still', () => {
  test.each([
    'read',
    'write',
    'sync',
  ] as const)('in a %s of one blob keeps nobody else waiting, and the blob is whole afterwards', async operation => {
    await using at = await startScene()
    const [slow, kept, cold] = [at.blob('slow', 3 * miB), at.blob('kept', miB), at.blob('cold', miB)]
    await keep(at, ...(operation === 'read' ? [slow, kept] : [kept]))
    await at.layover.restart()
    const [stuck, moving] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    interfere([operation], file => {
      if (!file.path.includes(hexOf(slow.digest))) return undefined
      stuck.resolve()
      return moving.promise
    })
    const reading = Array.from({ length: 8 }, () => download(at.blobUrl(slow)))
    await stuck.promise
    for (const blob of [kept, cold, kept, cold]) expectWhole(await download(at.blobUrl(blob)), blob)
    expect((await download(`${at.layover.url}/livez`)).status).toBe(200)
    moving.resolve()
    for (const found of await Promise.all(reading)) expectWhole(found, slow)
  })

  test.skipIf(process.platform === 'win32')('in opening one file keeps nobody else waiting', async () => {
    await using at = await startScene()
    const [slow, kept, cold] = [at.blob('slow', miB), at.blob('kept', miB), at.blob('cold', miB)]
    await keep(at, slow, kept)
    await at.layover.restart()
    const path = new Layout(at.layover.storePath).cached(slow.digest)
    await rm(path)
    execFileSync('mkfifo', [path]) // to open it waits for somebody who writes
    const reading = download(at.blobUrl(slow))
    for (const blob of [kept, cold, kept]) expectWhole(await download(at.blobUrl(blob)), blob)
    await using _ = await open(path, 'r+')
    expectWhole(await reading, slow)
  })
})
