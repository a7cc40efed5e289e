import { expect, test } from 'vitest'
import type { CredentialSource } from '../../../../src/upstream/upstream.ts'
import {
  blobOf,
  clientFor,
  failureOf,
  metric,
  optionsFor,
  readAll,
  repository,
  type Scripted,
  serve,
} from '../support.ts'

const { content, digest } = blobOf(300_000)
const path = `/v2/library/alpine/blobs/${digest}`
const at = ({ port }: Scripted, name = 'registry.hub.test') => `http://${name}:${port}`

/** A CDN that honours ranges and hates credentials, as S3 does. */
const serveCdn = () =>
  serve((request, response) => {
    if (request.headers.authorization !== undefined)
      return response.writeHead(400).end('Only one auth mechanism')
    if (request.method === 'HEAD') return response.writeHead(403).end()
    const match = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
    if (!match)
      return response.writeHead(200, { etag: '"v1"', 'content-length': content.length }).end(content)
    const first = Number(match[1])
    const last = match[2] === '' ? content.length - 1 : Number(match[2])
    const headers = {
      'content-range': `bytes ${first}-${last}/${content.length}`,
      'content-length': last - first + 1,
      etag: '"v1"',
    }
    return response.writeHead(206, headers).end(content.subarray(first, last + 1))
  })

const redirectTo = (location: () => string, status = 307) =>
  serve((_, response) =>
    response.writeHead(status, { location: location(), 'content-length': 9 }).end('redirect!'),
  )

test('a blob is followed to its CDN without our credential, each time by a redirect of its own', async () => {
  await using cdn = await serveCdn()
  let signature = 0
  const basic = `Basic ${Buffer.from('robot:secret').toString('base64')}`
  await using registry = await serve((request, response) => {
    if (request.headers.authorization !== basic) {
      return response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end()
    }
    return response.writeHead(307, { location: `${at(cdn, 'cdn.test')}/blob?sig=${++signature}` }).end()
  })
  const credentials: CredentialSource = { kind: 'basic', username: 'robot', password: 'secret' }
  await using client = clientFor(optionsFor(at(registry), { urls: [{ url: at(registry), credentials }] }))
  const blob = await client.upstream.openBlob(repository, digest)
  expect(blob).toMatchObject({
    first: 0,
    total: content.length,
    length: content.length,
    etag: '"v1"',
    anonymous: false,
  })
  expect(await readAll(blob.body)).toEqual(content)
  const rest = await client.upstream.openBlob(repository, digest, { range: { first: 299_990 } })
  expect(rest).toMatchObject({ first: 299_990, total: content.length, length: 10 })
  expect(await readAll(rest.body)).toEqual(content.subarray(299_990))
  expect(cdn.lines()).toEqual(['GET /blob?sig=1', 'GET /blob?sig=2'])
  expect(cdn.asked[1]?.headers.range).toBe('bytes=299990-')
  expect(await metric(client.metrics, 'layover_upstream_bytes_total{')).toEqual([
    `layover_upstream_bytes_total{upstream="hub.test"} ${content.length + 10}`,
  ])
})

test('a relative redirect on the same origin keeps the credential', async () => {
  await using registry = await serve((request, response) => {
    if (request.headers.authorization !== 'Bearer t') return response.writeHead(401).end()
    if (request.url === path) {
      const headers = { location: `/downloads/${'x'.repeat(10_000)}`, 'x-filler': 'x'.repeat(30_000) }
      return response.writeHead(302, headers).end()
    }
    return response.end(content)
  })
  const credentials: CredentialSource = { kind: 'token', token: 't' }
  await using client = clientFor(optionsFor(at(registry), { urls: [{ url: at(registry), credentials }] }))
  const { body } = await client.upstream.openBlob(repository, digest)
  expect(await readAll(body)).toEqual(content)
})

test('the credential does not come back after a detour', async () => {
  await using registry = await serve((request, response) => {
    if (request.url === '/end') return response.end(content)
    return response.writeHead(307, { location: `${at(detour, 'cdn.test')}/` }).end()
  })
  await using detour = await redirectTo(() => `${at(registry)}/end`)
  const credentials: CredentialSource = { kind: 'token', token: 't' }
  await using client = clientFor(optionsFor(at(registry), { urls: [{ url: at(registry), credentials }] }))
  await readAll((await client.upstream.openBlob(repository, digest)).body)
  expect(registry.asked.map(({ headers }) => headers.authorization)).toEqual(['Bearer t', undefined])
})

test('a range that upstream ignores comes as the whole blob', async () => {
  await using registry = await serve((_, response) => response.end(content))
  await using client = clientFor(optionsFor(at(registry)))
  const blob = await client.upstream.openBlob(repository, digest, { range: { first: 10, last: 19 } })
  expect(blob.first).toBe(0)
  blob.body.destroy()
})

test('a chunked blob has no length', async () => {
  await using registry = await serve((_, response) => {
    response.write(content)
    response.end()
  })
  await using client = clientFor(optionsFor(at(registry)))
  const blob = await client.upstream.openBlob(repository, digest)
  expect(blob).toMatchObject({ total: undefined, length: undefined })
  expect(await readAll(blob.body)).toEqual(content)
})

test.each([
  ['206 that begins elsewhere', 206, { 'content-range': 'bytes 0-9/300000' }],
  ['206 that goes on too far', 206, { 'content-range': 'bytes 10-30/300000' }],
  ['206 without a Content-Range', 206, {}],
  [
    '206 of a length that is not its range',
    206,
    { 'content-range': 'bytes 10-19/300000', 'content-length': '4' },
  ],
  ['416', 416, { 'content-range': 'bytes */5' }],
  ['an encoding', 200, { 'content-encoding': 'gzip' }],
])('%s is corrupt', async (_what, status, headers) => {
  await using registry = await serve((_, response) => response.writeHead(status, headers).end('tens'))
  await using client = clientFor(optionsFor(at(registry)))
  const ask = { range: { first: 10, last: 19 } }
  expect((await failureOf(client.upstream.openBlob(repository, digest, ask))).failure).toBe('corrupt')
})

test('HEAD of a blob that the registry serves itself tells its size', async () => {
  await using registry = await serve((_, response) =>
    response.writeHead(200, { 'content-length': 1234 }).end(),
  )
  await using client = clientFor(optionsFor(at(registry)))
  expect(await client.upstream.headBlob(repository, digest)).toEqual({ size: 1234, anonymous: true })
  expect(registry.lines()).toEqual([`HEAD ${path}`])
})

test("HEAD of a redirected blob learns the size from one byte, and never from the redirect's own length", async () => {
  await using cdn = await serveCdn()
  await using registry = await redirectTo(() => `${at(cdn, 'cdn.test')}/blob`)
  await using client = clientFor(optionsFor(at(registry)))
  expect(await client.upstream.headBlob(repository, digest)).toEqual({
    size: content.length,
    anonymous: true,
  })
  expect(cdn.asked.map(({ method, headers }) => `${method} ${headers.range}`)).toEqual(['GET bytes=0-0'])
})

test('a redirected blob is confirmed although its CDN is down', async () => {
  await using cdn = await serve((_, response) => response.writeHead(503).end())
  await using registry = await redirectTo(() => `${at(cdn, 'cdn.test')}/blob`)
  await using client = clientFor(optionsFor(at(registry)))
  expect(await client.upstream.headBlob(repository, digest)).toEqual({ size: undefined, anonymous: true })
})

test.each([
  401, 405,
])('a registry that answers %i to HEAD is asked for the first byte, at once the next time', async status => {
  await using registry = await serve((request, response) => {
    if (request.method === 'HEAD') response.writeHead(status).end()
    else response.writeHead(206, { 'content-range': 'bytes 0-0/42' }).end('x')
  })
  await using client = clientFor(optionsFor(at(registry)))
  await client.upstream.headBlob(repository, digest)
  expect((await client.upstream.headBlob(repository, digest)).size).toBe(42)
  expect(registry.asked.map(({ method }) => method)).toEqual(['HEAD', 'GET', 'GET'])
})

test('an empty blob has no first byte and the size 0', async () => {
  await using registry = await serve((request, response) => {
    if (request.method === 'HEAD') response.writeHead(405).end()
    else response.writeHead(416, { 'content-range': 'bytes */0' }).end()
  })
  await using client = clientFor(optionsFor(at(registry)))
  expect((await client.upstream.headBlob(repository, digest)).size).toBe(0)
})

test('a blob that is not there is not there', async () => {
  await using registry = await serve((_, response) => response.writeHead(404).end())
  await using client = clientFor(optionsFor(at(registry)))
  const failures = [
    client.upstream.headBlob(repository, digest),
    client.upstream.openBlob(repository, digest),
  ]
  for (const error of await Promise.all(failures.map(failureOf))) {
    expect(error).toMatchObject({ failure: 'not-found', code: 'BLOB_UNKNOWN' })
  }
})

test.each([
  ['an endless chain', () => 'http://cdn.test/', 'corrupt'],
  ['a metadata address', () => 'http://169.254.169.254/latest', 'unreachable'],
  ['a private address', () => 'http://10.0.0.1/', 'unreachable'],
  ['another protocol', () => 'ftp://cdn.test/', 'corrupt'],
  ['nowhere', () => '', 'corrupt'],
])('a redirect to %s is refused', async (_what, target, failure) => {
  await using registry: Scripted = await redirectTo(() =>
    target().replace('cdn.test', `cdn.test:${registry.port}`),
  )
  await using client = clientFor(optionsFor(at(registry)))
  const error = await failureOf(client.upstream.openBlob(repository, digest))
  expect(error.failure).toBe(failure)
  expect(registry.asked.length).toBeLessThanOrEqual(6)
})

test('a signed URL and its signature are never told', async () => {
  await using cdn = await serve((_, response) => response.writeHead(403).end('<Error/>'))
  await using registry = await redirectTo(() => `http://user:pw@cdn.test:${cdn.port}/blob?X-Signature=sesame`)
  await using client = clientFor(optionsFor(at(registry)))
  const error = await failureOf(client.upstream.openBlob(repository, digest))
  expect(error).toMatchObject({ failure: 'server-error', upstreamStatus: 403 })
  expect(error.message).toBe(
    `hub.test's host cdn.test:${cdn.port} answered 403 to GET library/alpine blobs/${digest}`,
  )
  expect(JSON.stringify(error.details) + client.logged.join()).not.toContain('sesame')
})

test('no more bodies are open than fills are allowed, and a waiter may leave', async () => {
  await using registry = await serve((_, response) => response.end(content))
  await using client = clientFor(optionsFor(at(registry), { concurrency: { fills: 1, bandwidth: 0 } }))
  const first = await client.upstream.openBlob(repository, digest)
  const left = new AbortController()
  const waiting = client.upstream.openBlob(repository, digest, { signal: left.signal })
  left.abort(new Error('left'))
  await expect(waiting).rejects.toThrow('left')
  const next = client.upstream.openBlob(repository, digest)
  expect(registry.asked).toHaveLength(1)
  await readAll(first.body)
  await readAll((await next).body)
  expect(registry.asked).toHaveLength(2)
})

test('a body under a bandwidth is whole, and its place is free after it', async () => {
  await using registry = await serve((_, response) => response.end(content))
  const concurrency = { fills: 1, bandwidth: 50 * 1024 * 1024 }
  await using client = clientFor(optionsFor(at(registry), { concurrency }))
  for (let at = 0; at < 2; at++) {
    expect(await readAll((await client.upstream.openBlob(repository, digest)).body)).toEqual(content)
  }
})
