/** Clients that are sent to the bucket for what lies there and not on the disk. */
import { writeFile } from 'node:fs/promises'
import { describe, expect, test, vi } from 'vitest'
import { readContent } from '../../fake/bytes.ts'
import { type Bundle, image } from '../../fake/content.ts'
import { startReplicas } from '../../http/owner/scene.ts'
import { pushBundle } from '../../http/push-client.ts'
import { type Answered, type AskOptions, ask, errorOf, layerOf } from '../../http/scene.ts'
import { hasS3 } from '../../support/s3.ts'
import { type Replica, type SharedScene, sharedScene } from './scene.ts'

const app = 'local/team/app'
const pushed = image('pushed', { layers: [200_000] })
const proxied = image('proxied', { layers: [300_000] })
const { digest, content } = layerOf(pushed)
const layer = readContent(content)
const patient = { timeout: 20_000, interval: 20 }

const redirecting = (linkedFrom = 100_000) => ({
  s3: { linkedFrom, links: { endpoint: undefined, validMs: 900_000 } },
})
const blobPath = (name: string, bundle: Bundle) => `/v2/${name}/blobs/${layerOf(bundle).digest}`

function follow({ headers }: Answered, options?: AskOptions): Promise<Answered> {
  const { origin, pathname, search } = new URL(headers.location ?? '')
  return ask(origin, `${pathname}${search}`, options)
}

/** A replica that has nothing on its disk, in front of a bucket with a pushed image. */
async function withPushed(setting = redirecting()): Promise<SharedScene & { readonly second: Replica }> {
  const at = await sharedScene()
  const first = await at.start(setting)
  await pushBundle(first.to(app), pushed, 'v1')
  return Object.assign(at, { second: await at.start(setting) })
}

/** As `withPushed`, with an image that another replica fetched. */
async function withProxied(setting = redirecting()): Promise<SharedScene & { readonly second: Replica }> {
  const at = await sharedScene()
  at.net.hub.put('library/app', 'latest', proxied)
  const first = await at.start(setting)
  for (const { digest: child } of proxied.blobs) await first.ask(`/v2/library/app/blobs/${child}`)
  await first.ask('/v2/library/app/manifests/latest')
  const wanted = [...proxied.blobs, ...proxied.manifests].length
  await vi.waitFor(async () => {
    expect(await at.keys('cached/')).toHaveLength(wanted)
    const records = await at.keys('names/docker.io/library/app/_blobs')
    expect(records).toHaveLength(proxied.blobs.length)
  }, patient)
  const second = await at.start(setting)
  expect((await second.ask('/v2/library/app/manifests/latest')).status).toBe(200)
  at.net.clearRequests()
  return Object.assign(at, { second })
}

describe.runIf(hasS3)('a blob that lies in the bucket and not on the disk', () => {
  test('is read there by the client, whole or in part, and nothing of the address is logged', async () => {
    await using at = await withPushed()
    const sent = await at.second.ask(blobPath(app, pushed))
    expect([sent.status, sent.body.length, sent.headers]).toMatchObject([
      307,
      0,
      {
        'content-length': '0',
        'docker-content-digest': digest,
        'cache-control': 'no-store',
        'cache-status': 'layover; hit; detail="in the object store"',
        location: expect.stringContaining('X-Amz-Expires=900'),
      },
    ])
    const whole = await follow(sent)
    expect([whole.status, whole.body.equals(layer)]).toEqual([200, true])
    const headers = { range: 'bytes=1000-1999', 'if-range': `"${digest}"` }
    const ranged = await at.second.ask(blobPath(app, pushed), { headers })
    expect(ranged.status).toBe(307)
    const part = await follow(ranged, { headers: { range: headers.range } })
    expect([part.status, part.body.equals(layer.subarray(1000, 2000))]).toEqual([206, true])
    const signature = new URL(sent.headers.location ?? '').searchParams.get('X-Amz-Signature') ?? ''
    expect(signature).toMatch(/^[0-9a-f]{64}$/)
    await vi.waitFor(
      () =>
        expect(at.second.layover.lines.filter(({ status }) => status === 307)).toMatchObject([
          { digest, bytes: 0, cache: 'hit', upstream: 'local' },
          { digest, bytes: 0, cache: 'hit', upstream: 'local' },
        ]),
      patient,
    )
    const said = JSON.stringify(at.second.layover.lines)
    expect([said.includes(signature), said.includes('X-Amz-')]).toEqual([false, false])
    const metrics = (await at.second.ask('/metrics')).body.toString()
    expect(metrics).toContain(
      'layover_requests_total{upstream="local",kind="blob",outcome="hit",status="307"} 2',
    )
  })

  test('is told of here at HEAD, and given from here in several ranges or when it is small', async () => {
    await using at = await withPushed()
    const head = await at.second.ask(blobPath(app, pushed), { method: 'HEAD' })
    expect([head.status, head.headers['content-length']]).toEqual([200, String(layer.length)])
    const [config] = pushed.blobs
    expect((await at.second.ask(`/v2/${app}/blobs/${config?.digest}`)).status).toBe(200)
    const several = await at.second.ask(blobPath(app, pushed), { headers: { range: 'bytes=0-1,5-9' } })
    expect(several.status).toBe(206)
    const again = await at.second.ask(blobPath(app, pushed)) // on the disk by now
    expect([again.status, again.body.equals(layer)]).toEqual([200, true])
  })

  test('is given from here where the configuration says nothing', async () => {
    await using at = await withPushed({ s3: {} } as ReturnType<typeof redirecting>)
    const { status, body } = await at.second.ask(blobPath(app, pushed))
    expect([status, body.equals(layer)]).toEqual([200, true])
  })

  test('is nobody else’s for that', async () => {
    await using at = await withPushed()
    const elsewhere = await at.second.ask(blobPath('local/other', pushed))
    expect([elsewhere.status, errorOf(elsewhere).code]).toEqual([404, 'BLOB_UNKNOWN'])
  })

  test('is not what clients are sent to a bucket for that has just failed', async () => {
    await using at = await withPushed()
    expect((await at.second.ask(blobPath(app, pushed))).status).toBe(307)
    at.proxy.fail({ kind: 'refuse' })
    const refused = await at.second.ask(blobPath(app, pushed))
    expect([refused.status, refused.headers.location]).toEqual([expect.toBeOneOf([503, 504]), undefined])
    at.proxy.fail({ kind: 'none' })
    await vi.waitFor(
      async () => expect((await at.second.ask(blobPath(app, pushed))).status).toBeLessThan(400),
      patient,
    )
  })

  test('is what every replica sends clients to the bucket for, whichever owns the name', async () => {
    await using at = await sharedScene()
    const first = await at.start()
    await pushBundle(first.to(app), pushed, 'v1')
    await first.layover.stop()
    const setting = { service: at.service, ...redirecting(), each: () => ({ owner: undefined }) }
    await using replicas = await startReplicas(2, setting)
    for (const nth of [0, 1]) {
      await vi.waitFor(async () => {
        const sent = await replicas.ask(nth, blobPath(app, pushed))
        expect(sent.status).toBe(307)
        expect((await follow(sent)).body.equals(layer)).toBe(true)
      }, patient)
    }
  })

  test('is read at the address at which clients reach the bucket', async () => {
    await using at = await sharedScene()
    const endpoint = `http://localhost:${at.service.port}`
    const setting = { s3: { linkedFrom: 1, links: { endpoint, validMs: 60_000 } } }
    const first = await at.start(setting)
    await pushBundle(first.to(app), pushed, 'v1')
    const second = await at.start(setting)
    const sent = await second.ask(blobPath(app, pushed))
    expect(sent.headers.location).toMatch(new RegExp(`^${endpoint}/layover/pushed/sha256/`))
    expect((await follow(sent)).body.equals(layer)).toBe(true)
  })
})

describe.runIf(hasS3)('a proxied blob that lies in the bucket', () => {
  test('is read there, without a word to upstream', async () => {
    await using at = await withProxied()
    const sent = await at.second.ask(blobPath('library/app', proxied))
    expect([sent.status, sent.headers['cache-status']]).toEqual([
      307,
      'layover; hit; detail="in the object store"',
    ])
    const { body } = await follow(sent)
    expect(body.equals(readContent(layerOf(proxied).content))).toBe(true)
    const range = await at.second.ask(blobPath('library/app', proxied), {
      headers: { range: 'bytes=-100' },
    })
    expect(range.status).toBe(307)
    expect(at.net.requests()).toEqual([])
  })

  test('is another repository’s only when upstream says so', async () => {
    await using at = await withProxied()
    at.net.hub.put('library/other', 'latest', image('other', { layers: [10] }))
    const other = await at.second.ask(blobPath('library/other', proxied))
    expect([other.status, other.headers.location]).toEqual([404, undefined])
    at.net.hub.put('library/same', 'latest', proxied)
    const same = await at.second.ask(blobPath('library/same', proxied))
    expect(same.status).toBe(307)
    expect((await follow(same)).body.equals(readContent(layerOf(proxied).content))).toBe(true)
  })

  test('comes from upstream while the bucket fails, and where the bucket has less of it', async () => {
    await using at = await withProxied()
    const all = readContent(layerOf(proxied).content)
    const hex = layerOf(proxied).digest.slice('sha256:'.length)
    await writeFile(at.service.path(`cached/sha256/${hex.slice(0, 2)}/${hex}`), all.subarray(1))
    const less = await at.second.ask(blobPath('library/app', proxied))
    expect([less.status, less.body.equals(all)]).toEqual([200, true])
    at.proxy.fail({ kind: 'refuse' })
    const third = await at.start(redirecting())
    const refused = await third.ask(blobPath('library/app', proxied))
    expect([refused.status, refused.body.equals(all)]).toEqual([200, true])
  })
})
