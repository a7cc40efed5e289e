/** What can be seen from outside: log lines, metrics, health, loops; and what must never be seen. */
import { rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect, test, vi } from 'vitest'
import { image } from '../fake/content.ts'
import { isSettled } from '../support/is-settled.ts'
import { upstream } from '../support/layover.ts'
import { pushBundle } from './push-client.ts'
import { errorOf, hub, layerOf, plain, type Scene, scene } from './scene.ts'

const app = image('app', { layers: [300, 200_000] })
const blob = `/v2/library/app/blobs/${layerOf(app, 1).digest}`
const manifest = '/v2/library/app/manifests/v1'

async function world(): Promise<Scene> {
  const at = await scene({ upstreams: net => [hub(net), plain(net, { isDefault: false })] })
  at.net.hub.put('library/app', 'v1', app)
  return at
}

/** The line is written when the connection has taken the answer. */
async function lineOf({ layover }: Scene, requestId: string) {
  return vi.waitFor(() => {
    const line = layover.lines.find(each => each.requestId === requestId && each.msg === 'request')
    if (!line) throw new Error(`no line for ${requestId}`)
    return line
  })
}

const idOf = ({ headers }: { headers: NodeJS.Dict<string | string[]> }) => String(headers['x-request-id'])

describe('the access log', () => {
  test('has a line for each request, with all of its fields', async () => {
    await using at = await world()
    const headers = { 'user-agent': 'containerd/2.1.0' }
    const answer = await at.ask(`${manifest}?ns=docker.io`, { headers })
    const line = await lineOf(at, idOf(answer))
    expect(line).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      level: 'info',
      msg: 'request',
      method: 'GET',
      path: manifest,
      status: 200,
      bytes: app.root.body.length,
      ms: expect.any(Number),
      upstream: 'docker.io',
      repository: 'library/app',
      reference: 'v1',
      digest: app.digest,
      cache: 'miss',
      client: '127.0.0.1',
      agent: 'containerd/2.1.0',
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    })
  })

  test('tells how each was answered', async () => {
    await using at = await world()
    const cacheOf = async (path: string, method = 'GET') => {
      const line = await lineOf(at, idOf(await at.ask(path, { method })))
      return [line.cache, line.status, line.bytes]
    }
    const size = app.root.body.length
    expect(await cacheOf(manifest)).toEqual(['miss', 200, size])
    expect(await cacheOf(manifest)).toEqual(['hit', 200, size])
    expect(await cacheOf(manifest, 'HEAD')).toEqual(['hit', 200, 0])
    at.clock.advance(300_000)
    expect(await cacheOf(manifest)).toEqual(['revalidated', 200, size])
    at.clock.advance(300_000)
    const down = at.net.fault({ host: 'registry.hub.test', kind: 'status', status: 500 })
    expect(await cacheOf(manifest)).toEqual(['stale', 200, size])
    await down.off()
    expect((await cacheOf('/v2/library/app/manifests/gone')).slice(0, 2)).toEqual(['error', 404])
    expect(await cacheOf(blob)).toEqual(['miss', 200, 200_000])
  })

  test("says why an answer is an error, and tells upstream's failures apart from a client's mistakes", async () => {
    await using at = await world()
    at.net.fault({ host: 'registry.hub.test', kind: 'status', status: 500 })
    const failed = await lineOf(at, idOf(await at.ask(manifest)))
    expect(failed).toMatchObject({ level: 'warn', status: 503, error: expect.stringContaining('500') })
    const mistaken = await lineOf(at, idOf(await at.ask('/v2/App/manifests/v1')))
    expect(mistaken).toMatchObject({ level: 'info', status: 400, error: expect.stringContaining('name') })
  })

  test('marks an answer that the client did not take to its end', async () => {
    await using at = await world()
    const stall = at.net.fault({ host: 'cdn-a.test', kind: 'stall', at: 150_000, method: 'GET' })
    const reply = await at.open(blob)
    await stall.reached
    reply.destroy()
    expect(await lineOf(at, idOf(reply))).toMatchObject({ aborted: true, status: 200 })
    stall.release()
  })
})

describe('/metrics', () => {
  /** Every sample with its labels, as the text has it. */
  async function scrape({ layover }: Scene): Promise<Map<string, number>> {
    const answer = await fetch(`${layover.url}/metrics`)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain/)
    const lines = (await answer.text()).split('\n').filter(line => line !== '' && !line.startsWith('#'))
    return new Map(
      lines.map(line => [
        line.slice(0, line.lastIndexOf(' ')),
        Number(line.slice(line.lastIndexOf(' ') + 1)),
      ]),
    )
  }

  test('has its names and labels, and they move', async () => {
    await using at = await world()
    const answers = [await at.ask(manifest), await at.ask(manifest), await at.ask(blob)]
    answers.push(
      await at.ask('/v2/library/app/tags/list'),
      await at.ask(`/v2/library/app/referrers/${app.digest}`),
    )
    answers.push(await at.ask('/v2/local/app/manifests/v1'))
    for (const answer of answers) await lineOf(at, idOf(answer))
    const samples = await scrape(at)
    const hubManifest = 'upstream="docker.io",kind="manifest"'
    expect(samples.get(`layover_requests_total{${hubManifest},outcome="miss",status="200"}`)).toBe(1)
    expect(samples.get(`layover_requests_total{${hubManifest},outcome="hit",status="200"}`)).toBe(1)
    expect(
      samples.get('layover_requests_total{upstream="local",kind="manifest",outcome="error",status="404"}'),
    ).toBe(1)
    expect(samples.get(`layover_request_duration_seconds_count{${hubManifest},outcome="miss"}`)).toBe(1)
    expect(samples.get('layover_response_bytes_total{upstream="docker.io",kind="blob",outcome="miss"}')).toBe(
      200_000,
    )
    for (const kind of ['tags', 'referrers']) {
      expect(
        samples.get(
          `layover_requests_total{upstream="docker.io",kind="${kind}",outcome="miss",status="200"}`,
        ),
      ).toBe(1)
    }
    expect(
      samples.get(`layover_upstream_requests_total{${hubManifest},status="200"}`),
    ).toBeGreaterThanOrEqual(1)
    expect(samples.get('layover_upstream_bytes_total{upstream="docker.io"}')).toBeGreaterThanOrEqual(200_000)
    expect(samples.get(`layover_upstream_duration_seconds_count{${hubManifest}}`)).toBeGreaterThanOrEqual(1)
    expect(samples.get('layover_upstream_ratelimit_limit{upstream="docker.io",identity="anonymous"}')).toBe(
      100,
    )
    expect(
      samples.get('layover_upstream_ratelimit_remaining{upstream="docker.io",identity="anonymous"}'),
    ).toBe(99)
    expect(samples.get('layover_index_up')).toBe(1)
    expect(samples.has('process_cpu_seconds_total')).toBe(true)
  })

  test('counts what is held here as a hit, and says of no local name that an upstream was asked', async () => {
    await using at = await world()
    await pushBundle({ url: at.layover.url, name: 'local/app' }, app, 'v1')
    const held = await Promise.all(
      ['manifests/v1', 'tags/list', `referrers/${app.digest}`].map(path => at.ask(`/v2/local/app/${path}`)),
    )
    const missing = await at.ask('/v2/local/app/manifests/v2')
    for (const answer of [...held, missing]) await lineOf(at, idOf(answer))
    expect(held.map(({ headers }) => headers['cache-status'])).toEqual(held.map(() => 'layover; hit'))
    expect([missing.status, missing.headers['cache-status']]).toEqual([404, undefined])
    const samples = await scrape(at)
    for (const kind of ['manifest', 'tags', 'referrers'])
      expect(
        samples.get(`layover_requests_total{upstream="local",kind="${kind}",outcome="hit",status="200"}`),
      ).toBe(1)
  })

  test('counts flights and their waiters while they last, and what upstream fails at', async () => {
    await using at = await world()
    const stall = at.net.fault({ host: 'cdn-a.test', kind: 'stall', at: 100_000, method: 'GET' })
    const readers = [at.ask(blob)]
    await stall.reached
    readers.push(at.ask(blob), at.ask(blob))
    await vi.waitFor(async () => {
      const during = await scrape(at)
      expect(during.get('layover_flights{upstream="docker.io"}')).toBe(1)
      expect(during.get('layover_flight_waiters')).toBe(3)
    })
    stall.release()
    await Promise.all(readers)
    at.net.fault({ host: 'registry.hub.test', kind: 'rate-limited', form: 'hub' })
    await at.ask('/v2/library/app/manifests/v2')
    await vi.waitFor(async () => {
      const after = await scrape(at)
      expect(after.get('layover_flights{upstream="docker.io"}')).toBe(0)
      expect(after.get('layover_flight_waiters')).toBe(0)
      expect(after.get('layover_upstream_errors_total{upstream="docker.io",reason="rate-limited"}')).toBe(1)
      expect(
        after.get('layover_upstream_ratelimit_blocked_seconds{upstream="docker.io",identity="anonymous"}'),
      ).toBe(60)
    })
  })

  test('counts what goes wrong with the bytes of a blob, and once', async () => {
    await using at = await world()
    const failed = async (reason: string) =>
      (await scrape(at)).get(`layover_upstream_errors_total{upstream="docker.io",reason="${reason}"}`)
    at.net.fault({ host: 'cdn-a.test', kind: 'corrupt', at: 100, method: 'GET', times: 1 })
    await at.ask(blob).catch(() => {}) // cut before its end
    await vi.waitFor(async () => expect(await failed('corrupt')).toBe(1))
    at.net.fault({ host: 'cdn-b.test', kind: 'rst', at: 100_000, method: 'GET', times: 1 })
    const mended = at.ask(blob)
    await vi.waitFor(async () => {
      at.clock.advance(100) // the pause before it goes on
      expect(await isSettled(mended)).toBe(true)
    })
    expect((await mended).status).toBe(200)
    expect(await failed('unreachable')).toBe(1)
    expect(await failed('corrupt')).toBe(1)
  })

  test('does not grow with what clients make up', async () => {
    await using at = await world()
    await at.ask(manifest)
    const before = (await scrape(at)).size
    for (let number = 0; number < 50; number += 1) {
      await at.ask(`/v2/made/up-${number}/manifests/v1?ns=made-up-${number}.example`)
      await at.ask(`/made-up-${number}`)
    }
    expect((await scrape(at)).size).toBeLessThanOrEqual(before + 30)
  })
})

describe('health', () => {
  const pages = ['/livez', '/readyz', '/healthz', '/health']

  test('is good when it is, whatever the upstreams do', async () => {
    await using at = await world()
    at.net.fault({ host: 'registry.hub.test', kind: 'refuse' })
    at.net.fault({ host: 'plain.test', kind: 'hang' })
    await at.ask(manifest)
    for (const page of pages) {
      expect((await at.ask(page)).status).toBe(200)
      expect((await at.ask(page, { method: 'HEAD' })).status).toBe(200)
    }
    expect(at.net.requests()).toEqual([])
  })

  test('is told to a load balancer that speaks HTTP/1.0 and sends no Host', async () => {
    await using at = await world()
    for (const page of pages) {
      const socket = connect({ port: Number(new URL(at.layover.url).port), host: '127.0.0.1' })
      socket.write(`GET ${page} HTTP/1.0\r\n\r\n`)
      expect(await text(socket)).toMatch(/^HTTP\/1\.1 200 /)
    }
  })

  test('is not ready without a store, but alive', async () => {
    await using at = await world()
    await rm(at.layover.storePath, { recursive: true, maxRetries: 10 }) // a start may still write there
    expect((await at.ask('/livez')).status).toBe(200)
    for (const page of pages.slice(1)) {
      const answer = await at.ask(page)
      expect([answer.status, JSON.parse(answer.body.toString())]).toEqual([
        503,
        { status: 'unavailable', reason: expect.stringContaining('store') },
      ])
    }
  })
})

describe('secrets', () => {
  const password = 'pl4nted-passw0rd'

  async function secretWorld() {
    const at = await scene({
      realTime: true,
      upstreams: net => {
        net.hub.addUser('bob', password, { pull: ['library/app'] })
        net.hub.makePrivate('library/app')
        const credentials = { kind: 'basic', username: 'bob', password } as const
        const urls = [{ url: net.url('registry.hub.test'), credentials }]
        const authRealms = [new URL(net.url('auth.hub.test')).host]
        return [
          hub(net, { options: { access: 'shared', urls, authRealms } }),
          plain(net, {
            isDefault: false,
            url: net.url('plain.test').replace('//', `//carol:${password}@`),
          }),
        ]
      },
    })
    at.net.hub.put('library/app', 'v1', app)
    return at
  }

  test('are in no log line, error, header or metric', async () => {
    await using at = await secretWorld()
    const said: string[] = []
    const note = async (path: string) => {
      const { headers, body, status } = await at.ask(path)
      said.push(JSON.stringify(headers), status === 200 ? '' : body.toString())
    }
    await note(manifest)
    await note(blob)
    for (const spec of [
      { host: 'cdn-a.test', kind: 'status', status: 403 },
      { host: 'cdn-b.test', kind: 'drop', how: 'rst' },
    ] as const) {
      at.net.fault(spec)
    }
    for (const { digest } of app.blobs) await note(`/v2/library/app/blobs/${digest}`)
    at.net.fault({ host: 'registry.hub.test', authorized: true, kind: 'status', status: 401 })
    at.net.hub.addUser('bob', 'changed')
    await note('/v2/library/app/manifests/v2')
    await note('/v2/plain.example/app/manifests/v1')
    said.push(await (await fetch(`${at.layover.url}/metrics`)).text())
    said.push(...at.layover.lines.map(line => JSON.stringify(line)))

    const sent = at.net.requests()
    const tokens = sent
      .map(({ headers }) => headers.authorization?.replace(/^\w+ /, '') ?? '')
      .filter(Boolean)
    const signatures = sent.map(({ query }) => query.get('Signature') ?? '').filter(Boolean)
    expect(tokens.length).toBeGreaterThan(1)
    expect(signatures.length).toBeGreaterThan(1)
    const everything = said.join('\n')
    expect(everything).toContain('docker.io')
    for (const secret of [password, 'Signature=', ...tokens, ...signatures]) {
      expect(everything.includes(secret)).toBe(false)
    }
  })

  test('of a client are in no log line and go to no upstream', async () => {
    await using at = await world()
    const headers = { authorization: 'Basic Y2xpZW50OnMzY3JldA==', cookie: 'session=s3cret' }
    const answer = await at.ask(manifest, { headers })
    await lineOf(at, idOf(answer))
    await at.ask(blob, { headers })
    expect(JSON.stringify(at.layover.lines)).not.toMatch(/Y2xpZW50|s3cret/)
    for (const request of at.net.requests())
      expect(JSON.stringify(request.headers)).not.toMatch(/Y2xpZW50|s3cret/)
  })
})

describe('loops', () => {
  test('CDN-Loop is sent with every request, and refused when it comes back', async () => {
    await using at = await world()
    await at.ask(manifest)
    await at.ask(blob)
    const marks = new Set(at.net.requests().map(({ headers }) => headers['cdn-loop']))
    expect(marks.size).toBe(1)
    const [mark] = marks
    expect(mark).toMatch(/^layover;[0-9a-f]+$/)
    at.net.clearRequests()
    for (const header of [
      String(mark),
      `other.example, ${String(mark)}`,
      `${String(mark)} , layover;other`,
    ]) {
      const answer = await at.ask(manifest, { headers: { 'cdn-loop': header } })
      expect([header, answer.status]).toEqual([header, 508])
      expect(errorOf(answer).code).toBe('LOOP')
    }
    expect(at.net.requests()).toEqual([])
    const passed = await at.ask(manifest, { headers: { 'cdn-loop': 'layover;another, other.example' } })
    expect(passed.status).toBe(200)
  })

  test("marks of others are not passed on: a CDN that sees its own refuses, and that would be everybody's answer", async () => {
    await using at = await world()
    const header = `cdn.example; n=9, layover;another, ${'x'.repeat(5_000)}, layover;${'y'.repeat(5_000)}`
    await at.ask(manifest, { headers: { 'cdn-loop': header } })
    for (const { headers } of at.net.requests({ path: /manifests/ })) {
      expect(headers['cdn-loop']).toMatch(/^layover;another, layover;[0-9a-f]+$/)
    }
  })

  test('an upstream that is this very registry ends in 508 after one round', async () => {
    await using at = await world()
    const self = upstream({ registry: 'self.example', url: at.layover.url })
    await at.layover.reload({ ...at.layover.config, upstreams: [...at.layover.config.upstreams, self] })
    const answer = await at.ask('/v2/self.example/library/app/manifests/v1')
    expect(answer.status).toBe(508)
    expect(errorOf(answer)).toMatchObject({ code: 'LOOP', detail: { upstream: 'self.example' } })
    expect(at.net.requests()).toEqual([])
  })
})
