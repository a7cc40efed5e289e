/** Layover as the upstream of Layover: what was pushed to the innermost is pulled at the outermost, and so is what that caches. */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { describe, expect, test, vi } from 'vitest'
import { systemClock } from '../../src/runtime/clock.ts'
import { Ggcr } from '../clients/ggcr.ts'
import { readContent } from '../fake/bytes.ts'
import { FakeClock } from '../fake/clock.ts'
import { artifact, image, multiArch } from '../fake/content.ts'
import { startInternet } from '../fake/internet.ts'
import { startTestLayover, upstream } from '../support/layover.ts'
import { pushBundle } from './push-client.ts'
import { type Answered, ask, hub, layerOf } from './scene.ts'

const name = 'team/app'
const freshMs = 5 * 60_000
const app = multiArch('app', { layers: [300_000, 70_000] })
const digestOf = ({ headers }: Answered) => headers['docker-content-digest']

/** Three of them; teams push to the inner one, which alone reaches the internet. */
async function cascade({ realTime = false, relay = (url: string) => Promise.resolve(url) } = {}) {
  await using resources = new AsyncDisposableStack()
  const clock = new FakeClock()
  const net = await startInternet({ clock: realTime ? systemClock : clock })
  resources.defer(() => net.close())
  const surroundings = { clock: net.clock, lookup: net.lookup }
  const inner = resources.use(
    await startTestLayover({
      ...surroundings,
      upstreams: [hub(net)],
      local: [{ name: 'team', match: 'team/**' }],
    }),
  )
  const inFrontOf = async (url: string) => {
    const below = upstream({ registry: 'below.example', url, isDefault: true })
    return resources.use(await startTestLayover({ ...surroundings, local: [], upstreams: [below] }))
  }
  const middle = await inFrontOf(await relay(inner.url))
  const outer = await inFrontOf(middle.url)
  const owned = resources.move()
  return {
    net,
    clock,
    inner,
    middle,
    to: { url: inner.url, name },
    ask: (path: string, options?: Parameters<typeof ask>[2]) => ask(outer.url, path, options),
    url: outer.url,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

test('marks of registries that a client makes up are nobody’s refusal on the way', async () => {
  await using at = await cascade()
  await pushBundle(at.to, app, '1.0')
  for (const [nth, count] of [10, 100].entries()) {
    const headers = { 'cdn-loop': Array.from({ length: count }, (_, at) => `layover;${at}`).join(', ') }
    expect((await at.ask(`/v2/${name}/blobs/${app.blobs[nth]?.digest}`, { headers })).status).toBe(200)
  }
})

describe('what was pushed to the innermost', () => {
  test('is pulled whole at the outermost, by a real client’s requests', async () => {
    await using at = await cascade()
    await pushBundle(at.to, app, '1.0')
    expect((await new Ggcr({ url: at.url }).pull(name, '1.0')).digest).toBe(app.digest)
  })

  test('is answered to HEAD with length, type and digest, and no body crosses for it', async () => {
    await using at = await cascade()
    await pushBundle(at.to, app, '1.0')
    const { status, headers } = await at.ask(`/v2/${name}/manifests/1.0`, { method: 'HEAD' })
    expect([
      status,
      headers['content-type'],
      headers['content-length'],
      headers['docker-content-digest'],
    ]).toEqual([200, app.root.mediaType, String(app.root.body.length), app.digest])
    for (const { digest, size } of app.blobs) {
      const blob = await at.ask(`/v2/${name}/blobs/${digest}`, { method: 'HEAD' })
      expect([blob.status, blob.headers['content-length']]).toEqual([200, String(size)])
    }
    const crossed = at.inner.lines.filter(
      ({ method, path }) => method === 'GET' && String(path).includes(name),
    )
    expect(crossed).toEqual([])
  })

  test.each([
    ['a closed range', 'bytes=1000-1999', 1_000, 2_000],
    ['the end', 'bytes=-500', 299_500, 300_000],
    ['an open range', 'bytes=200000-', 200_000, 300_000],
  ])('is answered in ranges, cold: %s', async (_, range, first, end) => {
    await using at = await cascade()
    const large = image('large', { layers: [300_000] })
    await pushBundle(at.to, large, '1.0')
    const layer = layerOf(large)
    const answer = await at.ask(`/v2/${name}/blobs/${layer.digest}`, { headers: { range } })
    expect([answer.status, answer.headers['content-range']]).toEqual([
      206,
      `bytes ${first}-${end - 1}/300000`,
    ])
    expect(answer.body.equals(readContent(layer.content).subarray(first, end))).toBe(true)
  })

  test('has its referrers there, filtered or not, and its absent ones', async () => {
    await using at = await cascade()
    await pushBundle(at.to, app, '1.0')
    const sbom = artifact('sbom', { subject: app.root })
    const signature = artifact('signature', {
      subject: app.root,
      artifactType: 'application/vnd.example.sig',
    })
    for (const bundle of [sbom, signature]) await pushBundle(at.to, bundle)
    const path = `/v2/${name}/referrers/${app.digest}`
    const listed = async (query = '') => {
      const answer = await at.ask(path + query)
      expect(answer.status).toBe(200)
      const { manifests } = JSON.parse(answer.body.toString()) as { manifests: { digest: string }[] }
      return manifests.map(({ digest }) => digest)
    }
    expect(await listed()).toEqual([sbom.digest, signature.digest].toSorted())
    expect(await listed('?artifactType=application/vnd.example.sig')).toEqual([signature.digest])
    const none = await at.ask(`/v2/${name}/referrers/${sbom.digest}`)
    expect(JSON.parse(none.body.toString())).toMatchObject({ manifests: [] })
  })

  test('has its tags there in pages, in order', async () => {
    await using at = await cascade()
    const tags = Array.from({ length: 25 }, (_, number) => `v${String(number).padStart(2, '0')}`)
    await pushBundle(at.to, image('tagged', { layers: [100] }), ...tags)
    const found: string[][] = []
    for (let next: string | undefined = `/v2/${name}/tags/list?n=10`; next !== undefined; ) {
      const { headers, body } = await at.ask(next)
      found.push((JSON.parse(body.toString()) as { tags: string[] }).tags)
      next = /^<([^>]+)>; rel="next"$/.exec(headers.link?.toString() ?? '')?.[1]
    }
    expect(found).toEqual([tags.slice(0, 10), tags.slice(10, 20), tags.slice(20)])
  })

  test('moves there when the tag is no longer fresh; the old digest stays, even deleted', async () => {
    await using at = await cascade()
    const [first, second] = [image('first'), image('second')]
    const tag = `/v2/${name}/manifests/latest`
    await pushBundle(at.to, first, 'latest')
    expect(digestOf(await at.ask(tag))).toBe(first.digest)
    await pushBundle(at.to, second, 'latest')
    expect(digestOf(await at.ask(tag))).toBe(first.digest)
    at.clock.advance(freshMs + 1)
    expect(digestOf(await at.ask(tag))).toBe(second.digest)
    const old = `/v2/${name}/manifests/${first.digest}`
    await ask(at.inner.url, old, { method: 'DELETE' })
    expect((await at.ask(old)).status).toBe(200)
  })

  test('that is new is found after the absence was noticed', async () => {
    await using at = await cascade()
    const tag = `/v2/${name}/manifests/new`
    expect((await at.ask(tag)).status).toBe(404)
    await pushBundle(at.to, app, 'new')
    at.clock.advance(60_000)
    expect(digestOf(await at.ask(tag))).toBe(app.digest)
  })

  test('cannot be pushed to or deleted at the outermost', async () => {
    await using at = await cascade()
    await pushBundle(at.to, app, '1.0')
    const start = await at.ask(`/v2/${name}/blobs/uploads/`, { method: 'POST' })
    const end = await at.ask(`/v2/${name}/manifests/1.0`, { method: 'DELETE' })
    expect([start.status, start.headers.allow, end.status, end.headers.allow]).toEqual([
      405,
      'GET, HEAD',
      405,
      'GET, HEAD',
    ])
  })
})

test('what the innermost caches is pulled at the outermost, and each object left the internet once', async () => {
  await using at = await cascade()
  at.net.hub.put('library/alpine', '3.20', app)
  const client = () => new Ggcr({ url: at.url }).pull('library/alpine', '3.20')
  expect((await client()).digest).toBe(app.digest)
  expect((await client()).digest).toBe(app.digest)
  const gets = at.net
    .requests({ method: 'GET' })
    .filter(({ host, path, status }) => host !== 'auth.hub.test' && status === 200 && path !== '/v2/')
    .map(({ path }) => path)
  expect(gets).toEqual([...new Set(gets)])
})

test('what was pulled is still served when the innermost has gone', async () => {
  await using at = await cascade()
  await pushBundle(at.to, app, '1.0')
  const pull = () => new Ggcr({ url: at.url }).pull(name, '1.0')
  await pull()
  await at.inner.stop()
  at.clock.advance(freshMs + 1)
  expect((await pull()).digest).toBe(app.digest)
  const { headers } = await ask(at.middle.url, `/v2/${name}/manifests/1.0`)
  expect(headers.warning).toMatch(/^299 - "/)
})

test('a wire that breaks between two of them is mended in the middle: the outermost sends one whole body', async () => {
  await using wire = new BreakingWire(400_000)
  await using at = await cascade({ realTime: true, relay: url => wire.to(url) })
  const large = image('large', { layers: [3_000_000] })
  await pushBundle(at.to, large, '1.0')
  const layer = layerOf(large)
  const { status, body } = await at.ask(`/v2/${name}/blobs/${layer.digest}`)
  expect([status, body.equals(readContent(layer.content))]).toEqual([200, true])
  const asked = () =>
    at.inner.lines
      .filter(({ method, digest }) => method === 'GET' && digest === layer.digest)
      .map(({ status }) => status)
  await vi.waitFor(() => expect(asked()).toEqual([200, 206])) // a line follows the last byte
})

/** Passes bytes on to an address, and breaks the first connection that brings back more than so many. */
class BreakingWire implements AsyncDisposable {
  readonly #afterBytes: number
  readonly #server = createServer()
  #broken = false

  constructor(afterBytes: number) {
    this.#afterBytes = afterBytes
  }

  async to(address: string): Promise<string> {
    const { hostname, port } = new URL(address)
    this.#server.on('connection', near => {
      const far = connect(Number(port), hostname)
      let bytes = 0
      far.on('data', chunk => {
        bytes += chunk.length
        near.write(chunk)
        if (this.#broken || bytes <= this.#afterBytes) return
        this.#broken = true
        near.destroy()
      })
      near.on('data', chunk => far.write(chunk))
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        one.on('error', () => {}) // 'close' follows
        one.on('close', () => other.destroy())
      }
    })
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    const bound = this.#server.address()
    if (bound === null || typeof bound === 'string') throw new Error('no port is free')
    return `http://127.0.0.1:${bound.port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    await once(this.#server, 'close')
  }
}
