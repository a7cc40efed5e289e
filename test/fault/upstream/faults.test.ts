/** Upstreams that are slow, busy, untrusted or on their way down, on manifests and on blobs alike: an honest error, and right the next time. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { caCertificate } from '../../fake/certificates.ts'
import { image } from '../../fake/content.ts'
import type { HostName } from '../../fake/hosts.ts'
import { type Answered, errorOf, layerOf, plain, type Scene, scene } from '../../http/scene.ts'
import { type UpstreamSetting, upstream } from '../../support/layover.ts'

const app = image('app', { layers: [300, 200_000] })
const [small, large] = [layerOf(app), layerOf(app, 1)]
const timeouts = { connectMs: 2_000, headersMs: 1_000, revalidateMs: 3_000, idleMs: 1_000 }
const path = /manifests|blobs/

const objects = [
  ['a manifest by tag', 'manifests/v1', app.root.body.length],
  ['a manifest by digest', `manifests/${app.digest}`, app.root.body.length],
  ['a small blob', `blobs/${small.digest}`, small.size],
  ['a blob', `blobs/${large.digest}`, large.size],
] as const

async function world(options: UpstreamSetting['options'] = {}) {
  const at = await scene({
    realTime: true,
    upstreams: net => [plain(net, { options: { timeouts, ...options } })],
  })
  at.net.plain.put('app', 'v1', app)
  return at
}

async function secureWorld(host: HostName, options: UpstreamSetting['options'] = {}) {
  const at = await scene({
    realTime: true,
    upstreams: net => [
      upstream({
        registry: 'plain.example',
        url: net.url(host),
        isDefault: true,
        options: { timeouts, ...options },
      }),
    ],
  })
  at.net.plain.put('app', 'v1', app)
  return at
}

function expectRefused(answer: Answered, status = 503) {
  expect(answer.status).toBe(status)
  expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1)
  const error = errorOf(answer)
  expect(error.message).toContain('plain.example')
  return error
}

async function expectRight(at: Scene, operation: string, length: number) {
  const answer = await at.ask(`/v2/app/${operation}`)
  expect([answer.status, answer.body.length]).toEqual([200, length])
}

describe.each(objects)('%s', (_name, operation, length) => {
  const url = `/v2/app/${operation}`

  test.each([500, 502, 503, 504])('of an upstream that says %i with a page for a while', async status => {
    await using at = await world()
    at.net.fault({ kind: 'status', status, body: '<html>busy</html>', path, times: 2 })
    let answer = await at.ask(url)
    for (let tries = 0; answer.status !== 200 && tries < 2; tries += 1) {
      expect(expectRefused(answer).message).toContain(String(status))
      answer = await at.ask(url)
    }
    expect([answer.status, answer.body.length]).toEqual([200, length])
  })

  test.each([
    ['waits before its first byte', { kind: 'slow', firstByteMs: 300 }],
    ['sends few bytes at a time', { kind: 'slow', bytesPerSecond: 2 * length }],
  ] as const)('of an upstream that %s is waited for', async (_how, fault) => {
    await using at = await world()
    at.net.fault({ ...fault, path })
    await expectRight(at, operation, length)
  })

  test('of an upstream that sends its headers and then nothing is a time-out', async () => {
    await using at = await world()
    const stall = at.net.fault({ kind: 'stall', at: 0, path })
    expectRefused(await at.ask(url), 504)
    await stall.off()
    await expectRight(at, operation, length)
  })
})

// What a connection meets is the same for all objects: one that is asked for twice, and one that streams.
describe.each([objects[0], objects[3]])('%s', (_name, operation, length) => {
  const url = `/v2/app/${operation}`

  test.each([
    ['an authority that nobody trusts', 'tls.test', {}],
    ['a certificate that has expired', 'expired.test', { tls: { ca: caCertificate } }],
    ['a certificate of ours, which there is none of', 'mtls.test', { tls: { ca: caCertificate } }],
  ] as const)('of an upstream with %s is unavailable', async (_with, host, options) => {
    await using at = await secureWorld(host, options)
    expect(expectRefused(await at.ask(url)).detail).toMatchObject({ failure: 'unreachable' })
    expect(at.net.requests()).toEqual([])
  })

  test.each([
    ['refuses a request', { kind: 'go-away', times: 1 }],
    ['takes no more requests at the start of an answer', { kind: 'last-answer', at: 0 }],
    ['takes no more requests within an answer', { kind: 'last-answer', at: length - 1 }],
  ] as const)('of an upstream whose HTTP/2 connection %s is right', async (_how, fault) => {
    await using at = await secureWorld('tls.test', { http2: true, tls: { ca: caCertificate } })
    at.net.plain.put('app', 'other', image('other'))
    await at.warm('/v2/app/manifests/other') // the connection is in use
    const met = at.net.fault({ ...fault, path })
    await expectRight(at, operation, length)
    expect(met.hits).toBeGreaterThan(0)
    await at.warm(url)
  })

  test('of an upstream whose first address swallows everything is fetched from its second', async () => {
    await using at = await world()
    await using hole = await blackHole(Number(new URL(at.net.url('plain.test')).port))
    at.net.names.set('plain.test', [hole.address, { address: '127.0.0.1', family: 4 }])
    await expectRight(at, operation, length)
  })

  test('of an upstream all of whose addresses swallow everything is a time-out', async () => {
    await using at = await world({ timeouts: { ...timeouts, connectMs: 600 } })
    await using hole = await blackHole(Number(new URL(at.net.url('plain.test')).port))
    at.net.names.set('plain.test', [hole.address])
    expect(expectRefused(await at.ask(url), 504).message).toContain('connecting')
  })
})

describe('an image of which upstream has only a part', () => {
  async function partWorld(gone: { manifest?: typeof app.digest; blob?: typeof app.digest }) {
    const at = await scene({ upstreams: net => [plain(net)] })
    at.net.plain.put('app', 'v1', app)
    at.net.plain.remove('app', gone)
    return at
  }

  test('is given but for the blob that is gone, which is there as soon as upstream has it', async () => {
    await using at = await partWorld({ blob: large.digest })
    await expectRight(at, 'manifests/v1', app.root.body.length)
    for (const method of ['GET', 'HEAD']) {
      const answer = await at.ask(`/v2/app/blobs/${large.digest}`, { method })
      expect(answer.status).toBe(404)
      if (method === 'GET') expect(errorOf(answer).code).toBe('BLOB_UNKNOWN')
    }
    await expectRight(at, `blobs/${small.digest}`, small.size)
    at.net.plain.put('app', 'v1', app)
    at.clock.advance(10_000)
    await expectRight(at, `blobs/${large.digest}`, large.size)
  })

  test('is 404 while its tag names a digest that upstream does not have, and there as soon as it has', async () => {
    await using at = await partWorld({ manifest: app.digest })
    // HEAD and GET by tag still know it, as from a cache in front of the registry.
    const head = { 'docker-content-digest': app.digest, 'content-type': app.root.mediaType }
    at.net.fault({ kind: 'status', status: 200, headers: head, method: 'HEAD', path: /manifests\/v1/ })
    expect((await at.ask('/v2/app/manifests/v1', { method: 'HEAD' })).status).toBe(200)
    for (const reference of ['v1', app.digest]) {
      const answer = await at.ask(`/v2/app/manifests/${reference}`)
      expect([answer.status, errorOf(answer).code]).toEqual([404, 'MANIFEST_UNKNOWN'])
    }
    at.net.plain.put('app', 'v1', app)
    at.clock.advance(10_000)
    await expectRight(at, 'manifests/v1', app.root.body.length)
  })

  test('is where its tag has moved when the digest that a HEAD told of is gone by then', async () => {
    await using at = await partWorld({})
    await at.ask('/v2/app/manifests/v1', { method: 'HEAD' })
    const next = image('next')
    at.net.plain.remove('app', { manifest: app.digest })
    at.net.plain.put('app', 'v1', next)
    const answer = await at.ask('/v2/app/manifests/v1')
    expect([answer.status, answer.headers['docker-content-digest']]).toEqual([200, next.digest])
  })

  test('is given as it was while its tag moves to a digest that upstream does not have', async () => {
    await using at = await partWorld({})
    await at.warm('/v2/app/manifests/v1')
    const next = image('next')
    at.net.plain.put('app', 'v1', next)
    at.net.fault({ kind: 'status', status: 404, method: 'GET', path: /manifests/ })
    at.clock.advance(600_000)
    const answer = await at.ask('/v2/app/manifests/v1')
    expect([answer.status, answer.headers['docker-content-digest']]).toEqual([200, app.digest])
    expect(answer.headers.warning).toMatch(/^299 - "/)
  })
})

/** A port that takes connections into a queue that is full: whoever knocks hears nothing at all. */
async function blackHole(port: number) {
  const address = '::1'
  const held = new SharedArrayBuffer(4)
  const worker = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads')
     const server = require('node:net').createServer()
     server.listen({ ...workerData.at, backlog: 1 }, () => {
       parentPort.postMessage('listening')
       Atomics.wait(new Int32Array(workerData.held), 0, 0)
     })`,
    { eval: true, workerData: { at: { host: address, port }, held } },
  )
  await once(worker, 'message')
  const fillers: Socket[] = []
  for (let joined = true; joined; ) {
    const filler = connect(port, address)
    filler.on('error', () => {})
    fillers.push(filler)
    await Promise.race([once(filler, 'connect'), sleep(200)])
    await turn() // a timer that was late comes before what the sockets have to say
    joined = !filler.connecting
  }
  return {
    address: { address, family: 6 as const },
    async [Symbol.asyncDispose]() {
      for (const filler of fillers) filler.destroy()
      Atomics.store(new Int32Array(held), 0, 1)
      Atomics.notify(new Int32Array(held), 0)
      await worker.terminate()
    },
  }
}
