/** The distribution protocol as clients see it: headers, HEAD, conditions, errors, refused writes. */
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { readContent } from '../fake/bytes.ts'
import {
  artifact,
  artifactOf,
  chart,
  emptyBlob,
  image,
  multiArch,
  raw,
  schema1,
  single,
} from '../fake/content.ts'
import {
  type Answered,
  asked,
  errorOf,
  hub,
  layerOf,
  plain,
  type Scene,
  type SceneSetting,
  scene,
} from './scene.ts'

const app = image('app', { layers: [300, 90_000] })
const small = layerOf(app)

async function world(setting: SceneSetting = {}) {
  const at = await scene({ upstreams: net => [plain(net), hub(net, { isDefault: false })], ...setting })
  at.net.plain.put('app', 'v1', app)
  return at
}

describe('/v2/', () => {
  test.each([
    '/v2/',
    '/v2',
    '/docker.io/v2/',
    '/docker.io/v2',
    '/v2/?ns=docker.io',
    '/v2/?ns=unknown.example',
  ])('%s answers at once, without a challenge and without any upstream', async path => {
    await using at = await world()
    const got = await at.ask(path)
    expect([got.status, got.body.toString()]).toEqual([200, '{}'])
    expect(got.headers).toMatchObject({
      'docker-distribution-api-version': 'registry/2.0',
      'content-type': 'application/json',
      'content-length': '2',
    })
    const head = await at.ask(path, { method: 'HEAD' })
    expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, '2', 0])
    expect(at.net.requests()).toEqual([])
  })

  test.each([
    '/v2/app',
    '/v2/app/manifests',
    '/v2/app/manifests/',
    '/v2/app/unknown/x',
    '/v2/app/tags',
  ])('%s is no operation on content: 404 in the form of the specification', async path => {
    await using at = await world()
    const answer = await at.ask(path)
    expect(answer.status).toBeOneOf([400, 404])
    errorOf(answer)
    expect(answer.headers['docker-distribution-api-version']).toBe('registry/2.0')
    expect(at.net.requests()).toEqual([])
  })
})

test('a path may come encoded, and as a whole URL from who takes us for a proxy', async () => {
  await using at = await world()
  for (const path of [
    '/v2/%61pp/manifests/%761',
    'http://layover.example/v2/app/manifests/v1',
    'HTTP://layover.example/v2/',
  ]) {
    expect([path, (await at.ask(path)).status]).toEqual([path, 200])
  }
  const tags = await at.ask('http://layover.example/v2/app/tags/list?n=0')
  expect(JSON.parse(tags.body.toString())).toEqual({ name: 'app', tags: [] })
})

describe('headers', () => {
  test('of a manifest by tag', async () => {
    await using at = await world()
    const { status, headers, body } = await at.ask('/v2/app/manifests/v1')
    expect(status).toBe(200)
    expect(body.equals(app.root.body)).toBe(true)
    expect(headers).toMatchObject({
      'content-type': app.root.mediaType,
      'content-length': String(app.root.body.length),
      'docker-content-digest': app.digest,
      'docker-distribution-api-version': 'registry/2.0',
      'cache-control': 'no-cache',
      etag: `"${app.digest}"`,
    })
    expect(headers['transfer-encoding']).toBeUndefined()
    expect(headers['content-encoding']).toBeUndefined()
  })

  test('of a manifest by digest', async () => {
    await using at = await world()
    const { headers } = await at.ask(`/v2/app/manifests/${app.digest}`)
    expect(headers).toMatchObject({ 'docker-content-digest': app.digest, etag: `"${app.digest}"` })
    expect(headers['cache-control']).toContain('immutable')
  })

  test.each(['GET', 'HEAD'])('of a blob, cold and cached, for %s', async method => {
    await using at = await world()
    for (const state of ['cold', 'cached']) {
      const { status, headers } = await at.ask(`/v2/app/blobs/${small.digest}`, { method })
      expect([state, status]).toEqual([state, 200])
      expect(headers).toMatchObject({
        'content-type': 'application/octet-stream',
        'content-length': '300',
        'docker-content-digest': small.digest,
        'accept-ranges': 'bytes',
        etag: `"${small.digest}"`,
      })
      expect(headers['cache-control']).toContain('immutable')
      expect(headers['content-encoding']).toBeUndefined()
      await at.ask(`/v2/app/blobs/${small.digest}`)
    }
  })

  test('nothing is compressed, whatever the client would take', async () => {
    await using at = await world()
    const headers = { 'accept-encoding': 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5' }
    const manifest = await at.ask('/v2/app/manifests/v1', { headers })
    expect(manifest.body.equals(app.root.body)).toBe(true)
    const tags = await at.ask('/v2/app/tags/list', { headers })
    expect(JSON.parse(tags.body.toString())).toEqual({ name: 'app', tags: ['v1'] })
    for (const { headers: sent } of at.net.requests()) expect(sent['accept-encoding']).toBe('identity')
  })

  test("Cache-Status tells a miss, a hit and what has been kept; Age is the tag's", async () => {
    await using at = await world()
    const miss = await at.ask('/v2/app/manifests/v1')
    expect(miss.headers['cache-status']).toBe('layover; fwd=miss; stored')
    expect(miss.headers.age).toBe('0')
    at.clock.advance(42_000)
    const hit = await at.ask('/v2/app/manifests/v1')
    expect(hit.headers['cache-status']).toBe('layover; hit')
    expect(hit.headers.age).toBe('42')
    expect(hit.headers.warning).toBeUndefined()
    const byDigest = await at.ask(`/v2/app/manifests/${app.digest}`)
    expect([byDigest.headers['cache-status'], byDigest.headers.age]).toEqual(['layover; hit', undefined])
    at.clock.advance(5 * 60_000)
    const revalidated = await at.ask('/v2/app/manifests/v1')
    expect(revalidated.headers['cache-status']).toContain('layover; fwd=stale')
    expect(revalidated.headers.age).toBe('0')
    expect(revalidated.headers.warning).toBeUndefined()
  })
})

describe('HEAD', () => {
  const targets = {
    'a manifest by tag': '/v2/app/manifests/v1',
    'a manifest by digest': `/v2/app/manifests/${app.digest}`,
    'a blob': `/v2/app/blobs/${small.digest}`,
    'a list of tags': '/v2/app/tags/list',
    'a page of tags': '/v2/app/tags/list?n=1',
    referrers: `/v2/app/referrers/${app.digest}`,
    'filtered referrers': `/v2/app/referrers/${app.digest}?artifactType=x/y`,
    'an unknown manifest': '/v2/app/manifests/gone',
    'an unknown blob': `/v2/app/blobs/sha256:${'0'.repeat(64)}`,
    'an unknown registry': '/v2/app/manifests/v1?ns=unknown.example',
    'a bad digest': '/v2/app/blobs/sha256:x',
    'a bad name': '/v2/App/manifests/v1',
    'a local name': '/v2/local/app/manifests/v1',
  }

  test.each(
    Object.entries(targets),
  )('of %s has the status and headers of GET and no body', async (_, path) => {
    await using at = await world()
    at.net.plain.put('app', 'v2', app)
    const first = await at.ask(path)
    if (first.status === 200) await at.warm(path)
    const got = await at.ask(path)
    const head = await at.ask(path, { method: 'HEAD' })
    expect(head.status).toBe(got.status)
    expect(comparable(head)).toEqual(comparable(got))
    expect(head.body.length).toBe(0)
    expect(got.headers['content-length']).toBe(String(got.body.length))
  })

  test('of cold content has the headers that a GET will have', async () => {
    await using at = await world()
    for (const path of ['/v2/app/manifests/v1', `/v2/app/blobs/${small.digest}`]) {
      const { 'cache-status': _, ...head } = comparable(await at.ask(path, { method: 'HEAD' }))
      const { 'cache-status': __, ...got } = comparable(await at.ask(path))
      expect(head).toEqual(got)
    }
  })

  test('of a blob whose size upstream does not say has no Content-Length, and no wrong one', async () => {
    await using at = await world()
    const chunked = at.net.fault({ host: 'plain.test', kind: 'chunked' })
    const path = `/v2/app/blobs/${layerOf(app, 1).digest}`
    const { status, headers } = await at.ask(path, { method: 'HEAD' })
    expect([status, headers['content-length'], headers['transfer-encoding']]).toEqual([
      200,
      undefined,
      undefined,
    ])
    const { body } = await at.ask(path)
    expect(body.length).toBe(90_000)
    await chunked.off()
    await at.warm(path)
    expect((await at.ask(path, { method: 'HEAD' })).headers['content-length']).toBe('90000')
  })

  test('is counted as sending no body', async () => {
    await using at = await world()
    const { headers } = await at.ask('/v2/app/manifests/v1', { method: 'HEAD' })
    expect(headers['content-length']).toBe(String(app.root.body.length))
    expect(asked(at.net)).toEqual(['HEAD plain.test /v2/app/manifests/v1'])
  })
})

function comparable({ headers }: Answered) {
  const { date: _, 'x-request-id': __, ...rest } = headers
  return rest
}

describe('If-None-Match', () => {
  test.each([
    ['quoted', (digest: string) => `"${digest}"`],
    ['bare', (digest: string) => digest],
    ['weak', (digest: string) => `W/"${digest}"`],
    ['in a list', (digest: string) => `"other", "${digest}"`],
    ['as a star', () => '*'],
  ])('with the digest %s is answered 304 without a body', async (_, write) => {
    await using at = await world()
    for (const [path, digest] of [
      ['/v2/app/manifests/v1', app.digest],
      [`/v2/app/manifests/${app.digest}`, app.digest],
      [`/v2/app/blobs/${small.digest}`, small.digest],
    ] as const) {
      for (const method of ['GET', 'HEAD', 'GET']) {
        const answer = await at.ask(path, { method, headers: { 'if-none-match': write(digest) } })
        expect([path, answer.status, answer.body.length]).toEqual([path, 304, 0])
        expect(answer.headers).toMatchObject({ etag: `"${digest}"`, 'docker-content-digest': digest })
      }
    }
  })

  test('with another digest is answered with the content', async () => {
    await using at = await world()
    const headers = { 'if-none-match': `"sha256:${'0'.repeat(64)}"` }
    expect((await at.ask('/v2/app/manifests/v1', { headers })).status).toBe(200)
    expect((await at.ask(`/v2/app/blobs/${small.digest}`, { headers })).status).toBe(200)
  })
})

describe('bytes are never converted', () => {
  const bundles = {
    'an OCI image': app,
    'an OCI index': multiArch('oci'),
    'a Docker image': image('docker', { format: 'docker' }),
    'a Docker manifest list': multiArch('docker', { format: 'docker' }),
    'an artifact': artifact('sbom', { subject: app.root }),
    'a Helm chart': chart('web', '1.0.0'),
    'an image in sha512': image('long digest', { algorithm: 'sha512' }),
    'an image with an empty layer': artifactOf([emptyBlob]),
    'an unknown manifest type': single(
      raw('{"schemaVersion":2,  "x": 1}', 'application/vnd.example.thing+json'),
    ),
    'an old artifact manifest': single(
      raw(
        '{"mediaType":"application/vnd.oci.artifact.manifest.v1+json"}',
        'application/vnd.oci.artifact.manifest.v1+json',
      ),
    ),
  }

  test.each(Object.entries(bundles))("%s: digest, media type and bytes are upstream's", async (_, bundle) => {
    await using at = await world()
    at.net.plain.put('kinds', 'v1', bundle)
    for (let round = 0; round < 2; round += 1) {
      for (const { digest, mediaType, body } of bundle.manifests) {
        const answer = await at.ask(`/v2/kinds/manifests/${digest}`, {
          headers: { accept: 'application/json' },
        })
        expect(answer.status).toBe(200)
        expect(answer.headers).toMatchObject({ 'content-type': mediaType, 'docker-content-digest': digest })
        expect(answer.body.equals(body)).toBe(true)
      }
      for (const { digest, content } of bundle.blobs) {
        const answer = await at.ask(`/v2/kinds/blobs/${digest}`)
        expect(answer.status).toBe(200)
        expect(answer.body.equals(readContent(content))).toBe(true)
      }
      const byTag = await at.ask('/v2/kinds/manifests/v1')
      expect(byTag.headers['docker-content-digest']).toBe(bundle.digest)
      expect(byTag.body.equals(bundle.root.body)).toBe(true)
    }
  })

  test('upstream is asked in the same words whatever the client accepts, so that a tag has one digest', async () => {
    await using at = await world()
    for (const [method, accept] of [
      ['HEAD', 'application/vnd.docker.distribution.manifest.v2+json'],
      ['GET', 'application/vnd.oci.image.index.v1+json'],
      ['GET', '*/*'],
    ] as const) {
      await at.ask('/v2/app/manifests/v1', { method, headers: { accept } })
      at.clock.advance(5 * 60_000)
    }
    const accepts = new Set(at.net.requests().map(({ headers }) => headers.accept))
    expect(accepts.size).toBe(1)
    for (const type of ['oci.image.index', 'oci.image.manifest', 'manifest.list.v2', 'manifest.v2']) {
      expect([...accepts].join()).toContain(type)
    }
  })

  test('Docker schema 1 is refused with an explanation and not kept', async () => {
    await using at = await world()
    at.net.plain.put('old', 'v1', schema1('old'))
    for (let round = 0; round < 2; round += 1) {
      const answer = await at.ask('/v2/old/manifests/v1')
      expect(answer.status).toBe(503)
      expect(errorOf(answer).message).toContain('schema 1')
    }
    expect(asked(at.net)).toHaveLength(2)
  })
})

describe('limits.manifest', () => {
  const big = image('big', { padding: 200_000 })

  test.each([
    ['announced', { kind: 'headers' }],
    ['unannounced', { kind: 'chunked' }],
  ] as const)('a manifest over it, its length %s, is refused and not kept', async (_, fault) => {
    await using at = await world({ limits: { manifest: 100_000 } })
    at.net.plain.put('big', 'v1', big)
    at.net.fault({ host: 'plain.test', ...fault })
    for (const reference of ['v1', big.digest]) {
      const answer = await at.ask(`/v2/big/manifests/${reference}`)
      expect(answer.status).toBe(503)
      const { message, detail } = errorOf(answer)
      expect(message).toContain('plain.example')
      expect(detail).toMatchObject({ failure: 'too-large' })
    }
  })

  test('what is over it is not even received', async () => {
    await using at = await world({ limits: { manifest: 100_000 } })
    const MiB = 1024 * 1024
    at.net.plain.put('huge', 'v1', single(raw(Buffer.alloc(64 * MiB, ' '), app.root.mediaType)))
    at.net.fault({ host: 'plain.test', kind: 'chunked' })
    expect((await at.ask('/v2/huge/manifests/v1')).status).toBe(503)
    const [request] = at.net.requests()
    await request?.closed
    expect(request?.bodyBytes).toBeLessThan(16 * MiB)
  })

  test('one just below it passes', async () => {
    await using at = await world({ limits: { manifest: big.root.body.length } })
    at.net.plain.put('big', 'v1', big)
    expect((await at.ask('/v2/big/manifests/v1')).status).toBe(200)
  })
})

describe('pushes and deletes', () => {
  const writes: readonly (readonly [string, string])[] = [
    ['POST', 'blobs/uploads/'],
    ['POST', `blobs/uploads/?mount=${small.digest}&from=other`],
    ['PATCH', 'blobs/uploads/2f1a'],
    ['PUT', `blobs/uploads/2f1a?digest=${small.digest}`],
    ['PUT', 'manifests/v1'],
    ['DELETE', 'manifests/v1'],
    ['DELETE', `manifests/${app.digest}`],
    ['DELETE', `blobs/${small.digest}`],
    ['POST', 'tags/list'],
  ]
  const names = ['/v2/app', '/v2/docker.io/library/alpine', '/docker.io/v2/library/alpine']

  test.each(writes)('%s %s is 405 for proxied names', async (method, operation) => {
    await using at = await world()
    for (const name of names) {
      const answer = await at.ask(`${name}/${operation}`, { method })
      expect([name, answer.status, answer.headers.allow]).toEqual([name, 405, 'GET, HEAD'])
      expect(errorOf(answer).code).toBe('UNSUPPORTED')
    }
    expect(at.net.requests()).toEqual([])
  })

  test('a cached copy survives a DELETE', async () => {
    await using at = await world()
    await at.ask('/v2/app/manifests/v1')
    await at.ask('/v2/app/manifests/v1', { method: 'DELETE' })
    expect((await at.ask('/v2/app/manifests/v1')).headers['cache-status']).toBe('layover; hit')
  })

  test('ns has no say in a write', async () => {
    await using at = await world()
    const answer = await at.ask('/v2/local/app/blobs/uploads/?ns=unknown.example', { method: 'POST' })
    expect(answer.status).toBe(202)
    expect(answer.headers['oci-namespace']).toBeUndefined()
  })

  test('a large body is not read, and its sender still gets the answer', async () => {
    await using at = await world()
    const answer = await rawRequest(at, [
      'PUT /v2/app/blobs/uploads/2f1a?digest=sha256:0 HTTP/1.1',
      'host: layover',
      `content-length: ${64 * 1024 * 1024}`,
      '',
      'the first bytes',
    ])
    expect(answer).toMatch(/^HTTP\/1.1 405 /)
    expect(answer).toMatch(/\r\nconnection: close\r\n/i)
    expect(answer).toContain('UNSUPPORTED')
  })

  test('Expect: 100-continue is answered with 405 and not with 100', async () => {
    await using at = await world()
    const answer = await rawRequest(at, [
      'PUT /v2/app/manifests/v1 HTTP/1.1',
      'host: layover',
      'content-length: 100000',
      'expect: 100-continue',
      '',
      '',
    ])
    expect(answer).toMatch(/^HTTP\/1.1 405 /)
    expect(answer).toMatch(/\r\nallow: GET, HEAD\r\n/i)
    expect(answer).not.toContain('100 Continue')
  })

  test('a body that comes whole is answered too', async () => {
    await using at = await world()
    const answer = await at.ask('/v2/app/manifests/v1', {
      method: 'PUT',
      body: Buffer.alloc(4 * 1024 * 1024),
    })
    expect(answer.status).toBe(405)
  })
})

/** Everything the server says until it closes the connection; the body that was announced is never finished. */
async function rawRequest({ layover }: Scene, lines: readonly string[]): Promise<string> {
  const { hostname, port } = new URL(layover.url)
  const socket = connect(Number(port), hostname)
  socket.setTimeout(10_000, () => socket.destroy(new Error('no end of the answer within 10 s')))
  socket.write(lines.join('\r\n'))
  let text = ''
  for await (const chunk of socket) text += String(chunk)
  return text
}

test('requests that are sent ahead wait for the answers before them', async () => {
  await using at = await world()
  const stall = at.net.fault({ kind: 'stall', at: 0, path: /blobs/ })
  const socket = connect({ port: Number(new URL(at.layover.url).port), host: '127.0.0.1' })
  const answers = text(socket)
  const lines = ['Host: x', '', '']
  socket.write([`GET /v2/app/blobs/${small.digest} HTTP/1.1`, ...lines].join('\r\n'))
  socket.write(['GET /v2/app/manifests/v1 HTTP/1.1', 'Connection: close', ...lines].join('\r\n'))
  await at.net.arrived({ path: /blobs/ })
  expect((await at.ask('/livez')).status).toBe(200)
  expect(at.net.requests({ path: /manifests/ })).toEqual([])
  stall.release()
  expect((await answers).match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2)
})
