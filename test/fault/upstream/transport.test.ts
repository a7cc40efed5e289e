/** The upstream client against servers that refuse, stall, break off and lie. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import {
  blobOf,
  clientFor,
  failureOf,
  HeldClock,
  lookupWith,
  manifest,
  manifestHeaders,
  metric,
  optionsFor,
  readAll,
  repository,
  type Scripted,
  serve,
  tag,
} from '../../unit/upstream/support.ts'

const maxBytes = 4 * 1024 * 1024
const { content, digest } = blobOf(2 * 1024 * 1024)
const at = ({ port }: { port: number }, name = 'registry.hub.test') => `http://${name}:${port}`
const timeouts = { connectMs: 5_000, headersMs: 5_000, revalidateMs: 3_000, idleMs: 5_000 }
/** Nobody listens there, and nobody is given it meanwhile. */
const nobody = { port: 1 }

/** A server below HTTP: what it does with a connection is the test's. */
async function serveRaw(onConnection: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    onConnection(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const dispose = async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => server.close(resolve))
  }
  return { port: (server.address() as AddressInfo).port, sockets, [Symbol.asyncDispose]: dispose }
}

test('a port where nobody listens is unreachable, and the message names upstream and reason', async () => {
  await using client = clientFor(optionsFor(at(nobody)))
  const error = await failureOf(client.upstream.headManifest(repository, tag))
  expect(error).toMatchObject({ failure: 'unreachable', status: 503 })
  expect(error.message).toContain('hub.test')
  expect(error.message).toContain('ECONNREFUSED')
  expect(await metric(client.metrics, 'layover_upstream_requests_total{')).toEqual([
    'layover_upstream_requests_total{upstream="hub.test",kind="manifest",status="error"} 1',
  ])
})

test('a name that does not resolve is unreachable', async () => {
  const lookup = lookupWith({ 'registry.hub.test': 'ENOTFOUND' })
  await using client = clientFor(optionsFor('http://registry.hub.test:5000'), { lookup })
  const error = await failureOf(client.upstream.headManifest(repository, tag))
  expect(error.failure).toBe('unreachable')
  expect(error.message).toContain('ENOTFOUND')
})

test('our own host on a metadata address is never asked', async () => {
  const lookup = lookupWith({ 'registry.hub.test': '169.254.169.254' })
  await using client = clientFor(optionsFor('http://registry.hub.test'), { lookup })
  const error = await failureOf(client.upstream.headManifest(repository, tag))
  expect(error).toMatchObject({ failure: 'unreachable', message: expect.stringContaining('metadata') })
})

test('a redirect to a name on a private address is refused when connecting', async () => {
  await using registry = await serve((_, response) => {
    response.writeHead(307, { location: 'http://rebound.test:9/blob' }).end()
  })
  const lookup = lookupWith({ 'rebound.test': '10.0.0.1' })
  await using client = clientFor(optionsFor(at(registry)), { lookup })
  const error = await failureOf(client.upstream.openBlob(repository, digest))
  expect(error).toMatchObject({ failure: 'unreachable', message: expect.stringContaining('allowPrivate') })
})

test('a registry that accepts and says nothing is a time-out', async () => {
  await using silent = await serveRaw(() => {})
  await using client = clientFor(optionsFor(at(silent), { timeouts: { ...timeouts, headersMs: 300 } }))
  const error = await failureOf(client.upstream.headManifest(repository, tag))
  expect(error).toMatchObject({ failure: 'timeout', status: 504 })
})

test('a connection reset before the headers is unreachable', async () => {
  await using rude = await serveRaw(socket => socket.once('data', () => socket.resetAndDestroy()))
  await using client = clientFor(optionsFor(at(rude)))
  expect((await failureOf(client.upstream.headManifest(repository, tag))).failure).toBe('unreachable')
})

test('bytes that are no HTTP are taken for throttling, for a minute', async () => {
  await using throttling = await serveRaw(socket =>
    socket.once('data', () => socket.end('Too Many Requests (HAP429).\n')),
  )
  await using client = clientFor(optionsFor(at(throttling)))
  const error = await failureOf(client.upstream.headManifest(repository, tag))
  expect(error).toMatchObject({ failure: 'rate-limited', retryAfterMs: 60_000 })
})

test('an idle connection that the server has just closed is not a failure', async () => {
  const answer = `HTTP/1.1 200 OK\r\ncontent-type: ${manifestHeaders['content-type']}\r\ncontent-length: 0\r\n\r\n`
  let connections = 0
  await using hasty = await serveRaw(socket => {
    connections += 1
    let answers = 0
    socket.on('data', () => {
      answers += 1
      if (connections === 1 && answers === 2) socket.end()
      else socket.write(answer)
    })
  })
  await using client = clientFor(optionsFor(at(hasty)))
  await client.upstream.headManifest(repository, tag)
  await client.upstream.headManifest(repository, tag)
  expect(connections).toBe(2)
})

test.each([
  ['reset', (socket: Socket) => socket.resetAndDestroy()],
  ['ended early', (socket: Socket) => socket.end()],
])('a blob whose connection is %s breaks off as unreachable', async (_how, end) => {
  await using registry = await serve((_, response) => {
    response.writeHead(200, { 'content-length': content.length })
    response.write(content.subarray(0, 100_000), () => end(response.socket as Socket))
  })
  await using client = clientFor(optionsFor(at(registry)))
  const { body } = await client.upstream.openBlob(repository, digest)
  const error = await failureOf(readAll(body))
  expect(error).toMatchObject({ failure: 'unreachable', message: expect.stringContaining('broke off') })
})

test('a chunked blob without its last chunk breaks off too', async () => {
  await using registry = await serve((_, response) => {
    response.write(content.subarray(0, 1_000), () => response.socket?.destroy())
  })
  await using client = clientFor(optionsFor(at(registry)))
  const { body } = await client.upstream.openBlob(repository, digest)
  expect((await failureOf(readAll(body))).failure).toBe('unreachable')
})

test('a blob that stalls is a time-out of its idleness', async () => {
  await using registry = await serve((_, response) => {
    response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, 1_000))
  })
  await using client = clientFor(optionsFor(at(registry), { timeouts: { ...timeouts, idleMs: 300 } }))
  const { body } = await client.upstream.openBlob(repository, digest)
  expect((await failureOf(readAll(body))).failure).toBe('timeout')
})

test('a manifest that ends short is no manifest', async () => {
  await using registry = await serve((_, response) => {
    response.writeHead(200, { ...manifestHeaders, 'content-length': manifest.length + 5 })
    response.write(manifest, () => response.socket?.end())
  })
  await using client = clientFor(optionsFor(at(registry)))
  expect((await failureOf(client.upstream.getManifest(repository, tag, { maxBytes }))).failure).toBe(
    'unreachable',
  )
})

test('a body that is destroyed ends the connection and gives its place back', async () => {
  await using registry = await serve((_, response) => {
    response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, 1_000))
  })
  await using client = clientFor(optionsFor(at(registry), { concurrency: { fills: 1, bandwidth: 0 } }))
  for (let at = 0; at < 3; at++) {
    const { body } = await client.upstream.openBlob(repository, digest)
    body.destroy()
  }
  expect(registry.asked).toHaveLength(3)
})

test('an aborted signal rejects with its own reason, before the headers and in the body', async () => {
  await using registry = await serve((request, response) => {
    if (request.url?.includes('/blobs/')) response.writeHead(200, { 'content-length': 9_999_999 }).write('x')
  })
  await using client = clientFor(optionsFor(at(registry)))
  const early = new AbortController()
  const asking = client.upstream.headManifest(repository, tag, { signal: early.signal })
  early.abort(new Error('enough'))
  await expect(asking).rejects.toThrow('enough')
  const late = new AbortController()
  const { body } = await client.upstream.openBlob(repository, digest, { signal: late.signal })
  late.abort(new Error('enough now'))
  await expect(readAll(body)).rejects.toThrow('enough now')
})

test('a revalidation keeps to its time, and the next ones rest at once while other requests go on', async () => {
  const clock = new HeldClock()
  const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>()
  await using registry = await serve((request, response) => {
    if (request.method === 'HEAD') arrive()
    else response.writeHead(200, manifestHeaders).end(manifest)
  })
  await using client = clientFor(optionsFor(at(registry)), { clock })
  const { upstream } = client
  const first = failureOf(upstream.headManifest(repository, tag, { totalMs: 3_000 }))
  await arrived
  clock.advance(3_000)
  expect(await first).toMatchObject({ failure: 'timeout', status: 504 })
  const second = await failureOf(upstream.headManifest(repository, tag, { totalMs: 3_000 }))
  expect(second).toMatchObject({ failure: 'resting', retryAfterMs: 5_000 })
  expect(second.message).toContain('did not answer')
  expect(registry.asked).toHaveLength(1)
  await upstream.getManifest(repository, tag, { maxBytes })
  expect(registry.asked).toHaveLength(2)
})

test('an origin that fails five times in a row rests, says why, and is probed by one request', async () => {
  const clock = new HeldClock()
  let down = true
  await using registry = await serve((_, response) => {
    if (down) response.socket?.resetAndDestroy()
    else response.writeHead(200, manifestHeaders).end()
  })
  await using client = clientFor(optionsFor(at(registry)), { clock })
  const ask = () => client.upstream.headManifest(repository, tag)
  for (let at = 0; at < 5; at++) await failureOf(ask())
  const resting = await failureOf(ask())
  expect(resting.failure).toBe('resting')
  expect(resting.message).toContain('unreachable for an earlier request')
  expect(registry.asked).toHaveLength(5)
  down = false
  clock.advance(5_000)
  const outcomes = await Promise.allSettled([ask(), ask(), ask()])
  expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected', 'rejected'])
  await Promise.all([ask(), ask()])
})

test('a dead CDN does not keep manifests from being asked', async () => {
  await using registry = await serve((request, response) => {
    if (request.url?.includes('/blobs/'))
      response.writeHead(307, { location: `${at(nobody, 'cdn.test')}/b` }).end()
    else response.writeHead(200, manifestHeaders).end(manifest)
  })
  await using client = clientFor(optionsFor(at(registry)), { clock: new HeldClock() })
  for (let at = 0; at < 5; at++) await failureOf(client.upstream.openBlob(repository, digest))
  expect((await failureOf(client.upstream.openBlob(repository, digest))).failure).toBe('resting')
  await client.upstream.getManifest(repository, tag, { maxBytes })
})

test('a second URL is asked where the first fails, and an outage is never told as an absence', async () => {
  let first = 503
  let second = 200
  const answer = (status: () => number) =>
    serve((_, response) =>
      response.writeHead(status(), manifestHeaders).end(status() === 200 ? manifest : ''),
    )
  await using one = await answer(() => first)
  await using two = await answer(() => second)
  const urls = [one, two].map((server, at) => ({
    url: `http://registry-${at}.hub.test:${server.port}`,
    credentials: undefined,
  }))
  await using client = clientFor(optionsFor('', { urls }))
  const ask = () => client.upstream.getManifest(repository, tag, { maxBytes })
  await ask()
  second = 404
  expect((await failureOf(ask())).failure).toBe('server-error')
  first = 404
  second = 503
  expect((await failureOf(ask())).failure).toBe('server-error')
  second = 404
  expect((await failureOf(ask())).failure).toBe('not-found')
  first = 403
  expect((await failureOf(ask())).failure).toBe('denied')
})

test('each further attempt at a blob begins with the next URL', async () => {
  const serveOne = () => serve((_, response) => response.end(content))
  await using one = await serveOne()
  await using two = await serveOne()
  const urls = [one, two].map((server: Scripted) => ({ url: at(server), credentials: undefined }))
  await using client = clientFor(optionsFor('', { urls }))
  for (const attempt of [0, 1, 2])
    (await client.upstream.openBlob(repository, digest, { attempt })).body.destroy()
  expect([one.asked.length, two.asked.length]).toEqual([2, 1])
})
