/** The store over a bucket: what is pushed lies there, what is proxied is shared through it, and it may fail. */
import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { describe, expect, test, vi } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { readContent } from '../../fake/bytes.ts'
import { type Bundle, image } from '../../fake/content.ts'
import { pushScene } from '../../http/push/scene.ts'
import { pushBlob, pushBundle, pushManifest } from '../../http/push-client.ts'
import { layerOf } from '../../http/scene.ts'
import { startTestLayover } from '../../support/layover.ts'
import { hasS3, startS3 } from '../../support/s3.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { impatient, type Replica, type SharedScene, sharedScene } from './scene.ts'

const app = 'local/team/app'
const pushed = image('pushed', { layers: [200_000] })
const proxied = image('proxied', { layers: [300_000] })
const throttled = { kind: 'answer', status: 503, body: '<Error><Code>SlowDown</Code></Error>' } as const
const patient = { timeout: 20_000, interval: 20 }

async function expectPulled({ ask }: Replica, name: string, reference: string, bundle: Bundle) {
  const manifest = await ask(`/v2/${name}/manifests/${reference}`)
  expect([manifest.status, manifest.headers['docker-content-digest']]).toEqual([200, bundle.digest])
  for (const { digest, content } of bundle.blobs) {
    const { status, body } = await ask(`/v2/${name}/blobs/${digest}`)
    expect([status, body.equals(readContent(content))]).toEqual([200, true])
  }
}

const keyOf = (area: 'cached' | 'pushed', digest: string) => {
  const [algorithm = '', hex = ''] = digest.split(':')
  return `${area}/${algorithm}/${hex.slice(0, 2)}/${hex}`
}

/** All of the image, and what makes it visible, is in the bucket. */
async function untilShared({ keys }: SharedScene, bundle: Bundle): Promise<void> {
  await vi.waitFor(async () => {
    const there = await keys()
    for (const { digest } of [...bundle.blobs, ...bundle.manifests])
      expect(there).toContain(keyOf('cached', digest))
    expect(there.filter(key => key.includes('library/app/_blobs'))).toHaveLength(bundle.blobs.length)
    expect(there.filter(key => key.includes('library/app/_tags'))).toHaveLength(1)
  }, patient)
}

const fetches = ({ net }: SharedScene) => net.requests().filter(({ path }) => path.startsWith('/v2/library'))

describe.runIf(hasS3)('what is pushed', () => {
  test('lies in the bucket when it is acknowledged, and a replica with an empty disk serves it', async () => {
    await using at = await sharedScene()
    const first = await at.start()
    await pushBundle(first.to(app), pushed, 'v1.0', 'v1-rc_2')
    const keys = await at.keys()
    for (const { digest } of [...pushed.blobs, ...pushed.manifests])
      expect(keys).toContain(keyOf('pushed', digest))
    expect(keys).toContain(`names/_local/${app}/_tags/v1.0`)
    await first.layover.stop()
    const second = await at.start()
    await expectPulled(second, app, 'v1.0', pushed)
    const { body } = await second.ask(`/v2/${app}/tags/list`)
    expect(JSON.parse(body.toString())).toEqual({ name: app, tags: ['v1-rc_2', 'v1.0'] })
    const catalog = await second.ask('/v2/_catalog')
    expect(JSON.parse(catalog.body.toString())).toEqual({ repositories: [app] })
    expect((await second.ask(`/v2/${app}/manifests/v1.0`, { method: 'DELETE' })).status).toBe(202)
    expect((await second.ask(`/v2/${app}/manifests/v1.0`)).status).toBe(404)
    expect(await at.keys(`names/_local/${app}/_tags`)).toEqual([`names/_local/${app}/_tags/v1-rc_2`])
  })

  test('is served from the disk while the bucket is gone; nothing is acknowledged then, and all heals', async () => {
    await using at = await sharedScene()
    const replica = await at.start({ s3: impatient })
    await pushBundle(replica.to(app), pushed, 'v1')
    for (const fault of [{ kind: 'refuse' }, { kind: 'stall' }, throttled] as const) {
      at.proxy.fail(fault)
      await expectPulled(replica, app, 'v1', pushed)
      const refused = await Promise.all([
        pushBlob(replica.to(app), Buffer.from(`new ${fault.kind}`)),
        pushManifest(replica.to(app), pushed.root, 'v2'),
      ])
      for (const { status, headers } of refused)
        expect([status, headers['retry-after']]).toEqual([503, expect.stringMatching(/^[1-9]/)])
    }
    const bucketUp = async () =>
      /^layover_bucket_up\{bucket="s3:\/\/layover"\} (\d)$/m.exec(
        String((await replica.ask('/metrics')).body),
      )?.[1]
    expect(await bucketUp()).toBe('0')
    at.proxy.fail({ kind: 'none' })
    await vi.waitFor(async () => {
      expect((await pushBlob(replica.to(app), Buffer.from('new'))).status).toBe(201)
      expect(await bucketUp()).toBe('1')
      expect((await pushManifest(replica.to(app), pushed.root, 'v2')).status).toBe(201)
    }, patient)
    expect(await at.keys(`names/_local/${app}/_tags`)).toHaveLength(2)
  })

  test('goes in parts when it is large, and comes back while it is still on its way', async () => {
    await using at = await sharedScene()
    const large = Buffer.alloc(30 * 2 ** 20, 'large blob')
    const first = await at.start()
    const answer = await pushBlob(first.to(app), large)
    expect(answer.status).toBe(201)
    const second = await at.start()
    const { status, body } = await second.ask(answer.headers.location ?? '')
    expect([status, body.equals(large)]).toEqual([200, true])
  })

  test('is never given whole where it is damaged in the bucket', async () => {
    await using at = await sharedScene()
    const first = await at.start()
    await pushBundle(first.to(app), pushed, 'v1')
    const { digest, size } = layerOf(pushed)
    await writeFile(at.service.path(keyOf('pushed', digest)), Buffer.alloc(size, 'damage'))
    const second = await at.start()
    const answer = await second
      .ask(`/v2/${app}/blobs/${digest}`)
      .catch(() => ({ status: 0, body: Buffer.of() }))
    expect(answer.status === 200 ? answer.body.length : 0).toBeLessThan(size)
    await rm(at.service.path(keyOf('pushed', digest)))
    expect((await second.ask(`/v2/${app}/blobs/${digest}`)).status).toBe(500)
  })

  test('is collected there when nothing needs it any more', async () => {
    await using service = await startS3()
    const hourMs = 3_600_000
    await using at = await pushScene({ service, collection: { everyMs: hourMs, graceMs: hourMs } })
    const to = { url: at.layover.url, name: app }
    await pushBundle(to, pushed, 'v1')
    const lone = Buffer.from('nothing lists it')
    expect((await pushBlob(to, lone)).status).toBe(201)
    const key = service.path(keyOf('pushed', digestOf(lone)))
    expect(existsSync(key)).toBe(true)
    at.clock.advance(4 * hourMs)
    await vi.waitFor(() => expect(existsSync(key)).toBe(false), patient)
    for (const { digest } of [...pushed.blobs, ...pushed.manifests])
      expect(existsSync(service.path(keyOf('pushed', digest)))).toBe(true)
  })

  test('is mounted within the bucket', async () => {
    await using at = await sharedScene()
    const replica = await at.start()
    await pushBundle(replica.to(app), pushed, 'v1')
    const { digest } = layerOf(pushed)
    const mount = `/v2/local/other/blobs/uploads/?mount=${digest}&from=${encodeURIComponent(app)}`
    expect((await replica.ask(mount, { method: 'POST' })).status).toBe(201)
    expect((await replica.ask(`/v2/local/other/blobs/${digest}`)).status).toBe(200)
  })
})

describe.runIf(hasS3)('what is proxied', () => {
  async function warmed() {
    const at = await sharedScene()
    at.net.hub.put('library/app', 'latest', proxied)
    const first = await at.start()
    await expectPulled(first, 'library/app', 'latest', proxied)
    await untilShared(at, proxied)
    at.net.clearRequests()
    return Object.assign(at, { first })
  }

  test('is fetched from upstream once for all replicas', async () => {
    await using at = await warmed()
    const second = await at.start()
    await expectPulled(second, 'library/app', 'latest', proxied)
    expect(fetches(at)).toEqual([])
  })

  test('comes from upstream where the bucket lost it, and is put there again', async () => {
    await using at = await warmed()
    await rm(at.service.path('cached'), { recursive: true })
    const second = await at.start()
    await expectPulled(second, 'library/app', 'latest', proxied)
    await untilShared(at, proxied)
  })

  test('comes from upstream while the bucket is gone or hangs, and is shared when it is back', async () => {
    await using at = await sharedScene()
    at.net.hub.put('library/app', 'latest', proxied)
    at.proxy.fail({ kind: 'refuse' })
    const replica = await at.start({ s3: impatient })
    await expectPulled(replica, 'library/app', 'latest', proxied)
    at.proxy.fail({ kind: 'stall' })
    const other = await at.start({ s3: impatient })
    await expectPulled(other, 'library/app', 'latest', proxied)
    expect(
      other.layover.lines.some(({ msg }) => String(msg).startsWith('the object store does not do')),
    ).toBe(true)
    at.proxy.fail({ kind: 'none' })
    await untilShared(at, proxied)
  })

  test('comes from upstream while the bucket throttles, and from a slow one all the same', async () => {
    await using at = await warmed()
    at.proxy.fail(throttled)
    const second = await at.start({ s3: impatient })
    await expectPulled(second, 'library/app', 'latest', proxied)
    expect(fetches(at).length).toBeGreaterThan(0)
    at.net.clearRequests()
    at.proxy.fail({ kind: 'slow', delayMs: 50 })
    const third = await at.start()
    const { lines } = third.layover
    await vi.waitFor(() => expect(lines.map(({ msg }) => msg)).toContain('the bucket is in use'), patient)
    await expectPulled(third, 'library/app', 'latest', proxied)
    expect(fetches(at)).toEqual([])
  })

  test('goes on from upstream where the bucket breaks off in the middle', async () => {
    await using at = await warmed()
    const second = await at.start()
    expect((await second.ask('/v2/library/app/manifests/latest')).status).toBe(200)
    at.proxy.fail({ kind: 'cut', afterBytes: 100_000 })
    const { digest, content } = layerOf(proxied)
    const { status, body } = await second.ask(`/v2/library/app/blobs/${digest}`)
    expect([status, body.equals(readContent(content))]).toEqual([200, true])
    expect(fetches(at).length).toBeGreaterThan(0)
  })

  test('is never given whole where it is damaged in the bucket, and is replaced', async () => {
    await using at = await warmed()
    const { digest, content, size } = layerOf(proxied)
    await writeFile(at.service.path(keyOf('cached', digest)), Buffer.alloc(size, 'damage'))
    const second = await at.start()
    expect((await second.ask('/v2/library/app/manifests/latest')).status).toBe(200)
    const path = `/v2/library/app/blobs/${digest}`
    const answer = await second.ask(path).catch(() => ({ status: 0, body: Buffer.of() }))
    expect(answer.status === 200 ? answer.body.length : 0).toBeLessThan(size)
    await vi.waitFor(async () => {
      const again = await second.ask(path)
      expect([again.status, again.body.equals(readContent(content))]).toEqual([200, true])
    }, patient)
    await vi.waitFor(async () => {
      expect((await at.read(keyOf('cached', digest))).equals(readContent(content))).toBe(true)
    }, patient)
  })

  test('is in the bucket when a replica has stopped', async () => {
    await using at = await sharedScene()
    at.net.hub.put('library/app', 'latest', proxied)
    const replica = await at.start()
    await expectPulled(replica, 'library/app', 'latest', proxied)
    await replica.layover.stop()
    const there = await at.keys('cached/')
    expect(there).toEqual(
      [...proxied.blobs, ...proxied.manifests].map(({ digest }) => keyOf('cached', digest)).sort(),
    )
  })

  test('stays on the disk where the configuration says so', async () => {
    await using at = await sharedScene()
    at.net.hub.put('library/app', 'latest', proxied)
    const replica = await at.start({ s3: { cached: false } })
    await expectPulled(replica, 'library/app', 'latest', proxied)
    await replica.layover.stop()
    expect(await at.keys('cached/')).toEqual([])
    expect(await at.keys('names/docker.io')).toEqual([])
  })
})

describe.runIf(hasS3)('a bucket', () => {
  test('that is not the one a disk was used with is left alone', async () => {
    await using at = await sharedScene()
    await using disk = await tempDir()
    const first = await at.start({ store: { path: disk.path } })
    await pushBundle(first.to(app), pushed, 'v1')
    await first.layover.stop()
    await writeFile(at.service.path('format.json'), '{"v":1,"id":"another"}')
    const again = await at.start({ store: { path: disk.path } })
    expect((await pushBlob(again.to(app), Buffer.from('new'))).status).toBe(503)
    await writeFile(at.service.path('format.json'), '{"v":2,"id":"another"}')
    expect((await pushBlob(again.to(app), Buffer.from('new'))).status).toBe(503)
  })

  test('takes nothing over from a disk that things were pushed to', async () => {
    await using at = await sharedScene()
    await using disk = await tempDir()
    const { clock, lookup } = at.net
    const alone = await startTestLayover({ store: { path: disk.path }, upstreams: [], clock, lookup })
    await pushBundle({ url: alone.url, name: app }, pushed, 'v1')
    await alone[Symbol.asyncDispose]()
    await expect(at.start({ store: { path: disk.path } })).rejects.toThrow(/holds what was pushed to it/)
  })
})
