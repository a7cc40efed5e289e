/** Killed, and then the disk turns out not to have kept what it was given last: nobody gets it wrong. */
import { existsSync } from 'node:fs'
import { open, readdir, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { Layout } from '../../src/store/layout.ts'
import { readContent, type StoredBlob, seededBlob } from '../fake/bytes.ts'
import { artifactOf } from '../fake/content.ts'
import { startInternet } from '../fake/internet.ts'
import { pushBlob, pushBundle } from '../http/push-client.ts'
import { tempDir } from '../support/temp-dir.ts'
import { download, expectHonest, expectWhole } from './download.ts'
import { LayoverProcess } from './process.ts'
import { send } from './push/crash-send.ts'
import { miB, repository } from './scene.ts'

const local = 'local/app'

async function scene(workers: number) {
  const [dir, net] = await Promise.all([tempDir(), startInternet()])
  const upstreamUrl = net.url('plain.test').replace('plain.test', '127.0.0.1')
  const start = () => LayoverProcess.start({ home: dir.path, upstreamUrl, workers })
  let running = await start()
  const image = artifactOf([seededBlob('layer', 100)])
  net.plain.put(repository, 'v1', image)
  const layout = new Layout(join(dir.path, 'data'))
  const url = (path: string) => `${running.url}/v2/${path}`
  const pull = (blob: StoredBlob, range?: string) =>
    download(url(`${repository}/blobs/${blob.digest}`), range === undefined ? {} : { headers: { range } })
  return {
    net,
    image,
    layout,
    url,
    to: () => ({ url: running.url, name: local }),
    blob(seed: string, size: number) {
      const blob = seededBlob(seed, size)
      net.plain.putBlob(repository, blob)
      return blob
    },
    pull,
    /** On disk, with what is written down of them. */
    async keep(...blobs: StoredBlob[]) {
      for (const blob of blobs) expectWhole(await pull(blob), blob)
      const settled = async () => {
        for (const { digest } of blobs) expect(existsSync(layout.cached(digest))).toBe(true)
        const { body } = await send(`${running.url}/metrics`)
        expect(body.toString()).not.toMatch(/^layover_flights\{.*\} [1-9]/m)
      }
      await vi.waitFor(settled, { timeout: 20_000 })
      net.clearRequests()
    },
    gets: ({ digest }: { digest: string }) =>
      net.requests({ method: 'GET', path: new RegExp(digest.slice(7)) }),
    async restart(how: 'kill' | 'stop', meanwhile: () => Promise<unknown> = async () => {}) {
      await running[how]()
      await meanwhile()
      running = await start()
    },
    async [Symbol.asyncDispose]() {
      await running.kill()
      await net.close()
      await dir[Symbol.asyncDispose]()
    },
  }
}

describe.each([1, 2])('after an unclean stop, with --workers %i', workers => {
  test("what is damaged and was written last is fetched again, by nobody seen; the rest is the scrub's", async () => {
    await using at = await scene(workers)
    const blobs = [at.blob('small', 1_000), at.blob('large', 8 * miB)]
    const old = at.blob('old', 1_000)
    await at.keep(...blobs, old)
    const { root } = at.image
    const manifests = ['v1', root.digest].map(reference => `${repository}/manifests/${reference}`)
    for (const path of manifests) expect((await send(at.url(path))).status).toBe(200)
    await vi.waitFor(() => expect(existsSync(at.layout.cached(root.digest))).toBe(true), { timeout: 20_000 })
    await at.restart('kill', async () => {
      for (const { digest } of [...blobs, root, old]) await flip(at.layout.cached(digest))
      await utimes(at.layout.cached(old.digest), 1e9, 1e9)
    })
    for (const blob of blobs) {
      for (const found of await Promise.all([at.pull(blob), at.pull(blob), at.pull(blob)]))
        expectWhole(found, blob)
      expect(at.gets(blob)).toHaveLength(1)
    }
    for (const path of manifests) expect((await send(at.url(path))).body.equals(root.body)).toBe(true)
    expect((await at.pull(old)).bytes.equals(readContent(old.content))).toBe(false)
    expect(at.gets(old)).toHaveLength(0)
  })

  test('without upstream a damaged blob is refused, and a sound one given', async () => {
    await using at = await scene(workers)
    const [bad, good] = [at.blob('bad', miB), at.blob('good', miB)]
    await at.keep(bad, good)
    at.net.fault({ kind: 'refuse', host: 'plain.test' })
    await at.restart('kill', () => flip(at.layout.cached(bad.digest)))
    expect(expectHonest(await at.pull(bad), bad)).toBe('refused')
    expectWhole(await at.pull(good), good)
  })

  test('large blobs are given to many at once, in ranges too: only the damaged one is fetched again', async () => {
    await using at = await scene(workers)
    const [good, bad] = [at.blob('good', 24 * miB), at.blob('bad', 24 * miB)]
    await at.keep(good, bad)
    await at.restart('kill', () => flip(at.layout.cached(bad.digest)))
    const middle = good.size / 2
    const pulls = async (blob: StoredBlob) => {
      expectWhole(await at.pull(blob, `bytes=${middle - 50}-${middle + 49}`), blob, middle - 50, middle + 50)
      expectWhole(await at.pull(blob), blob)
      expectWhole(await at.pull(blob, `bytes=${middle - 5}-`), blob, middle - 5)
      expectWhole(await at.pull(blob, 'bytes=-5'), blob, blob.size - 5)
    }
    await Promise.all([good, bad, good, bad, good, bad].map(pulls))
    expect(at.gets(good)).toHaveLength(0)
    expect(
      at.gets(bad).filter(({ headers }) => !String(headers.range).includes(`-${middle + 49}`)),
    ).toHaveLength(1)
  })

  test('damaged pushed bytes are an error that says what to do, and whole when that was done', async () => {
    await using at = await scene(workers)
    const [blob, other] = [seededBlob('blob', 100_000), seededBlob('other', 100_000)]
    const bundle = artifactOf([blob])
    await pushBundle(at.to(), bundle, 'v1')
    expect((await pushBlob(at.to(), other)).status).toBe(201)
    await at.restart('kill', () =>
      Promise.all([blob, other, bundle].map(({ digest }) => flip(at.layout.pushed(digest)))),
    )
    for (const path of [`blobs/${blob.digest}`, 'manifests/v1', `manifests/${bundle.digest}`]) {
      const { status, body } = await send(at.url(`${local}/${path}`))
      expect([status, body.toString()]).toEqual([500, expect.stringContaining('push them again')])
    }
    for (const { digest } of [blob, other]) // a push asks before it brings anything
      expect((await send(at.url(`${local}/blobs/${digest}`), { method: 'HEAD' })).status).toBe(404)
    expect(await readdir(at.layout.quarantine)).toHaveLength(3)
    expect((await pushBlob(at.to(), other)).status).toBe(201)
    expectWhole(await download(at.url(`${local}/blobs/${other.digest}`)), other)
    await pushBundle(at.to(), bundle, 'v1')
    for (let asked = 0; asked < 4; asked += 1) {
      expectWhole(await download(at.url(`${local}/blobs/${blob.digest}`)), blob)
      const { body } = await send(at.url(`${local}/manifests/v1`))
      expect(body.equals(bundle.root.body)).toBe(true)
    }
  })

  test('that was killed again at once, all is as before', async () => {
    await using at = await scene(workers)
    const twice = at.blob('twice', 1_000)
    await at.keep(twice)
    await at.restart('kill')
    await at.restart('kill', () => flip(at.layout.cached(twice.digest)))
    expectWhole(await at.pull(twice), twice)
  })
})

test.each([1, 2])('after a clean stop nothing is read, with --workers %i', async workers => {
  await using at = await scene(workers)
  const clean = at.blob('clean', 1_000)
  await at.keep(clean)
  await at.restart('stop', () => flip(at.layout.cached(clean.digest)))
  const { bytes } = await at.pull(clean)
  expect(bytes.equals(readContent(clean.content))).toBe(false)
  expect(at.gets(clean)).toHaveLength(0)
})

/** As a disk that kept the length and not the bytes. */
async function flip(path: string): Promise<void> {
  await using file = await open(path, 'r+')
  const { size } = await file.stat()
  const length = Math.min(10, size)
  const byte = Buffer.alloc(length)
  const at = Math.max(0, Math.floor(size / 2) - 5)
  await file.read(byte, 0, length, at)
  await file.write(
    byte.map(value => value ^ 0xff),
    0,
    length,
    at,
  )
}
