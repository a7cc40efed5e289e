import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { digestOf } from '../../../../src/oci/digest.ts'
import { acceptManifests } from '../../../../src/oci/media-type.ts'
import { parseReference } from '../../../../src/oci/reference.ts'
import {
  clientFor,
  failureOf,
  HeldClock,
  manifest,
  manifestDigest,
  manifestHeaders,
  metric,
  optionsFor,
  repository,
  serve,
  tag,
} from '../support.ts'
import { sendManifest } from '../token-registry.ts'

const maxBytes = 4 * 1024 * 1024

/** A registry that gives one answer to every request. */
async function answering(status: number, headers: Record<string, string>, body: Buffer | string = manifest) {
  const registry = await serve((_, response) => response.writeHead(status, headers).end(body))
  const client = clientFor(optionsFor(`http://registry.hub.test:${registry.port}`))
  const dispose = async () => {
    await client.upstream.close()
    await registry.close()
  }
  return { ...client, registry, [Symbol.asyncDispose]: dispose }
}

test('a manifest comes with its digest and type, and the request says all that we take and who we are', async () => {
  await using site = await answering(200, {
    ...manifestHeaders,
    'content-type': `${manifestHeaders['content-type']}; charset=utf-8`,
  })
  const fetched = await site.upstream.getManifest(repository, tag, { maxBytes })
  expect(fetched).toMatchObject({
    body: manifest,
    digest: manifestDigest,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    anonymous: true,
  })
  const [asked] = site.registry.asked
  expect(asked).toMatchObject({ method: 'GET', url: '/v2/library/alpine/manifests/3.20' })
  expect(asked?.headers).toMatchObject({
    accept: acceptManifests,
    'accept-encoding': 'identity',
    'cdn-loop': 'layover;test-loop',
    'user-agent': expect.stringMatching(/^layover\/\d/),
  })
  expect(await metric(site.metrics, 'layover_upstream_requests_total{')).toEqual([
    'layover_upstream_requests_total{upstream="hub.test",kind="manifest",status="200"} 1',
  ])
  expect(await metric(site.metrics, 'layover_upstream_bytes_total{')).toEqual([
    `layover_upstream_bytes_total{upstream="hub.test"} ${manifest.length}`,
  ])
})

test('HEAD gives digest, type and size', async () => {
  await using site = await answering(
    200,
    { ...manifestHeaders, 'content-length': String(manifest.length) },
    '',
  )
  expect(await site.upstream.headManifest(repository, tag)).toEqual({
    digest: manifestDigest,
    mediaType: manifestHeaders['content-type'],
    size: manifest.length,
  })
})

test('a registry without HEAD is asked with GET', async () => {
  await using registry = await serve((request, response) => {
    if (request.method === 'HEAD') response.writeHead(405).end()
    else sendManifest(request, response)
  })
  await using client = clientFor(optionsFor(`http://registry.hub.test:${registry.port}`))
  expect((await client.upstream.headManifest(repository, tag)).digest).toBe(manifestDigest)
})

test.each([
  ['none', {}],
  ['text/plain', { 'content-type': 'text/plain; charset=utf-8' }],
  ['application/json', { 'content-type': 'application/json' }],
])('with the type %s, the body tells its own', async (_type, headers) => {
  await using site = await answering(200, headers)
  const { mediaType, digest } = await site.upstream.getManifest(repository, tag, { maxBytes })
  expect(mediaType).toBe('application/vnd.oci.image.manifest.v1+json')
  expect(digest).toBe(manifestDigest)
})

test('a sha512 digest is checked and kept', async () => {
  const digest = digestOf(manifest, 'sha512')
  await using site = await answering(200, manifestHeaders)
  const fetched = await site.upstream.getManifest(repository, parseReference(digest), { maxBytes })
  expect(fetched.digest).toBe(digest)
})

test('gzip that nobody asked for is undone before the digest is checked', async () => {
  await using site = await answering(
    200,
    { ...manifestHeaders, 'content-encoding': 'gzip' },
    gzipSync(manifest),
  )
  expect((await site.upstream.getManifest(repository, tag, { maxBytes })).body).toEqual(manifest)
})

const other = digestOf(Buffer.from('other'))
test.each([
  [
    'bytes of another digest than upstream names',
    { ...manifestHeaders, 'docker-content-digest': other },
    manifest,
  ],
  ['a login page', { 'content-type': 'text/html' }, Buffer.from('<html>log in</html>')],
  ['no JSON', { 'content-type': manifestHeaders['content-type'] }, Buffer.from('nonsense')],
  ['broken gzip', { ...manifestHeaders, 'content-encoding': 'gzip' }, manifest],
  ['an encoding we do not know', { ...manifestHeaders, 'content-encoding': 'br' }, manifest],
])('%s is corrupt', async (_what, headers, body) => {
  await using site = await answering(200, headers, body)
  expect((await failureOf(site.upstream.getManifest(repository, tag, { maxBytes }))).failure).toBe('corrupt')
})

test('bytes of another digest than asked are corrupt, whatever upstream names', async () => {
  await using site = await answering(200, manifestHeaders)
  const error = await failureOf(site.upstream.getManifest(repository, parseReference(other), { maxBytes }))
  expect(error.failure).toBe('corrupt')
})

test.each([
  'a/b\r\nX-Evil: 1',
  'application/vnd.\u4e2d+json',
  'json',
])('a type that can stand in no header makes no manifest: %j', async mediaType => {
  const body = JSON.stringify({ schemaVersion: 2, mediaType })
  await using site = await answering(200, { 'content-type': 'application/json' }, body)
  const failure = failureOf(site.upstream.getManifest(repository, tag, { maxBytes }))
  expect(await failure).toMatchObject({ failure: 'corrupt' })
})

test('Docker schema 1 is refused by name', async () => {
  const schema1 = '{"schemaVersion":1,"fsLayers":[]}'
  await using site = await answering(
    200,
    { 'content-type': 'application/vnd.docker.distribution.manifest.v1+prettyjws' },
    schema1,
  )
  const error = await failureOf(site.upstream.getManifest(repository, tag, { maxBytes }))
  expect(error).toMatchObject({ failure: 'corrupt', message: expect.stringContaining('schema 1') })
})

test('more than the limit is refused, with a length or without, compressed or not', async () => {
  const limit = { maxBytes: 100 }
  await using announced = await answering(200, {
    ...manifestHeaders,
    'content-length': String(manifest.length),
  })
  expect((await failureOf(announced.upstream.getManifest(repository, tag, limit))).failure).toBe('too-large')
  await using chunked = await answering(200, { ...manifestHeaders, 'transfer-encoding': 'chunked' })
  expect((await failureOf(chunked.upstream.getManifest(repository, tag, limit))).failure).toBe('too-large')
  const bomb = gzipSync(Buffer.alloc(50_000, ' '))
  await using packed = await answering(200, { ...manifestHeaders, 'content-encoding': 'gzip' }, bomb)
  expect((await failureOf(packed.upstream.getManifest(repository, tag, limit))).failure).toBe('too-large')
})

test.each([
  [404, 'not-found', 404],
  [500, 'server-error', 503],
  [502, 'server-error', 503],
  [508, 'loop', 508],
  [418, 'server-error', 503],
  [204, 'corrupt', 503],
  [304, 'corrupt', 503],
])('upstream status %i is %s for the caller', async (upstreamStatus, failure, status) => {
  await using site = await answering(upstreamStatus, {}, '')
  const error = await failureOf(site.upstream.getManifest(repository, tag, { maxBytes }))
  expect(error).toMatchObject({ failure, status, upstreamStatus })
  expect(error.message).toContain(String(upstreamStatus))
  expect(error.message).toContain('hub.test')
  expect(await metric(site.metrics, 'layover_upstream_errors_total{')).toEqual([
    `layover_upstream_errors_total{upstream="hub.test",reason="${failure}"} 1`,
  ])
})

test('403 without any authorization is a denial, as a firewall would give it', async () => {
  await using site = await answering(403, {}, '')
  expect((await failureOf(site.upstream.headManifest(repository, tag))).failure).toBe('denied')
})

test('after a 429, manifests are not asked for until a HEAD shows a rest of the budget; blobs go on', async () => {
  const clock = new HeldClock()
  let remaining = 0
  await using registry = await serve((request, response) => {
    const headers = {
      ...manifestHeaders,
      'ratelimit-limit': '100;w=21600',
      'ratelimit-remaining': `${remaining};w=21600`,
    }
    if (request.url?.includes('/blobs/')) response.end('{}')
    else if (request.method === 'GET' && remaining === 0)
      response.writeHead(429, headers).end('{"errors":[]}')
    else response.writeHead(200, headers).end(request.method === 'GET' ? manifest : '')
  })
  await using client = clientFor(optionsFor(`http://registry.hub.test:${registry.port}`), { clock })
  const { upstream } = client
  const error = await failureOf(upstream.getManifest(repository, tag, { maxBytes }))
  expect(error).toMatchObject({ failure: 'rate-limited', upstreamStatus: 429, retryAfterMs: 60_000 })
  expect(upstream.pausedMs()).toBe(60_000)
  expect((await failureOf(upstream.getManifest(repository, tag, { maxBytes }))).failure).toBe('rate-limited')
  await upstream.headManifest(repository, tag)
  await upstream.headBlob(repository, digestOf(Buffer.from('{}')))
  expect(registry.asked.map(({ method }) => method)).toEqual(['GET', 'HEAD', 'HEAD'])
  expect(upstream.pausedMs()).toBe(60_000)
  remaining = 7
  await upstream.headManifest(repository, tag)
  expect(upstream.pausedMs()).toBe(0)
  await upstream.getManifest(repository, tag, { maxBytes })
  expect(await metric(client.metrics, 'layover_upstream_ratelimit_remaining{')).toEqual([
    'layover_upstream_ratelimit_remaining{upstream="hub.test",identity="anonymous"} 7',
  ])
})

test('plain text with a Retry-After stops every request for that time', async () => {
  const clock = new HeldClock()
  await using registry = await serve((_, response) => {
    response
      .writeHead(429, { 'content-type': 'text/plain', 'retry-after': '60' })
      .end('Too Many Requests (HAP429).')
  })
  await using client = clientFor(optionsFor(`http://registry.hub.test:${registry.port}`), { clock })
  await failureOf(client.upstream.headManifest(repository, tag))
  await failureOf(client.upstream.headManifest(repository, tag))
  await failureOf(client.upstream.headBlob(repository, manifestDigest))
  expect(registry.asked).toHaveLength(1)
  clock.advance(60_000)
  await failureOf(client.upstream.headManifest(repository, tag))
  expect(registry.asked).toHaveLength(2)
})

test('our own mark in an answer is a loop', async () => {
  await using site = await answering(200, { ...manifestHeaders, 'cdn-loop': 'layover;test-loop' })
  expect((await failureOf(site.upstream.headManifest(repository, tag))).failure).toBe('loop')
})
