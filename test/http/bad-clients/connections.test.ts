/** Connections that want nothing, or too much at once: others are served meanwhile, and memory stays within bounds. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { describe, expect, test, vi } from 'vitest'
import { image } from '../../fake/content.ts'
import { workersOfSuite } from '../../support/servers.ts'
import { name, pushScene } from '../push/scene.ts'
import { layerOf, plain, scene } from '../scene.ts'
import { dial, head, heapBytes, statusesIn, untilClosed, untilHeapBelow } from './wire.ts'

const mib = 2 ** 20

async function dialMany(url: string, count: number): Promise<Socket[]> {
  const sockets: Socket[] = []
  for (let nth = 0; nth < count; nth += 1) sockets.push(await dial(url))
  return sockets
}

describe('connections without a whole request', () => {
  test('are closed after limits.headers, also if they send a byte now and then; and others are served meanwhile', async () => {
    await using at = await pushScene({ limits: { headersMs: 400 } })
    const closed: Promise<string>[] = []
    const unfinished = 'GET /v2/ HTTP/1.1\r\nhost: x\r\nx-slow: '
    for (const bytes of [unfinished, ...Array(50).fill(''), ...Array(50).fill(unfinished)]) {
      const socket = await dial(at.layover.url)
      closed.push(untilClosed(socket)) // the first may be closed before the last is there
      socket.write(bytes)
      if (closed.length > 1) continue
      const drip = setInterval(() => socket.write('a'), 50)
      socket.once('close', () => clearInterval(drip))
    }
    expect((await at.ask('/v2/')).status).toBe(200)
    for (const heard of await Promise.all(closed)) expect(statusesIn(heard)).toEqual([408])
  })

  test('by the thousand cost little, and others are served meanwhile', async () => {
    await using at = await pushScene()
    const before = await heapBytes()
    const sockets = await dialMany(at.layover.url, 1_000)
    for (const socket of sockets) socket.write('GET /v2/ HTTP/1.1\r\nhost: x\r\n')
    expect((await at.ask('/v2/')).status).toBe(200)
    await untilHeapBelow(before + 1_000 * 32 * 1024) // both ends of each
    for (const socket of sockets) socket.destroy()
  })

  // Each server of several counts its own.
  test.skipIf(workersOfSuite > 1)(
    'above limits.connections are closed at once, and those that are open go on',
    async () => {
      await using at = await pushScene({ limits: { connections: 3 } })
      const known = await dial(at.layover.url)
      const others = await dialMany(at.layover.url, 6)
      await vi.waitFor(() => expect(others.filter(({ closed }) => closed)).toHaveLength(4), {
        timeout: 10_000,
      })
      known.write(head('GET /v2/', { connection: 'close' }))
      expect(statusesIn(await untilClosed(known))).toEqual([200])
      for (const socket of others) socket.destroy()
    },
  )

  // Each server of several counts its own.
  test.skipIf(workersOfSuite > 1)(
    'of one client above limits.connectionsPerClient are closed at once; of another client they are taken, and so are later ones',
    async () => {
      await using at = await pushScene({ limits: { connectionsPerClient: 3 } })
      const known = await dial(at.layover.url)
      const others = await dialMany(at.layover.url, 6)
      const closed = () => others.filter(socket => socket.closed).length
      await vi.waitFor(() => expect(closed()).toBe(4), { timeout: 10_000 })
      const elsewhere = await dial(at.layover.url, '127.0.0.2')
      for (const socket of [known, elsewhere]) {
        socket.write(head('GET /v2/', { connection: 'close' }))
        expect(statusesIn(await untilClosed(socket))).toEqual([200])
      }
      for (const socket of others) socket.destroy()
      await vi.waitFor(async () => expect((await at.ask('/v2/')).status).toBe(200), { timeout: 10_000 })
    },
  )
})

describe('requests sent ahead', () => {
  test('without end cut their connection, and nobody else notices', async () => {
    await using at = await scene({ upstreams: net => [plain(net)] })
    const app = image('app', { layers: [300] })
    at.net.plain.put('app', 'v1', app)
    at.net.fault({ kind: 'stall', at: 0, path: /blobs/ })
    const before = await heapBytes()
    const socket = await dial(at.layover.url)
    const closed = untilClosed(socket)
    socket.write(head(`GET /v2/app/blobs/${layerOf(app).digest}`))
    await at.net.arrived({ path: /blobs/ })
    socket.write(head('GET /v2/').repeat(50_000))
    expect(await closed).toBe('')
    expect((await at.ask('/v2/')).status).toBe(200)
    await untilHeapBelow(before + 32 * mib)
  })

  test('within reason are all answered, in their order', async () => {
    await using at = await pushScene()
    const socket = await dial(at.layover.url)
    socket.write(head('GET /v2/').repeat(90) + head('GET /v2/none', { connection: 'close' }))
    expect(statusesIn(await untilClosed(socket))).toEqual([...Array(90).fill(200), 404])
  })
})

test('small answers that nobody takes are cut off after limits.stalled, from memory or not', async () => {
  await using at = await pushScene({ limits: { stalledMs: 300 } })
  const app = image('app', { layers: [10], padding: 50_000 })
  await at.put(app.root, 'v1')
  const socket = await dial(at.layover.url)
  // The client itself does not see that it is cut off until it reads.
  const begun = Promise.withResolvers<Socket>()
  const ask = () => socket.writable && socket.write(head(`GET /v2/${name}/manifests/v1`))
  const seen = (message: unknown) => begun.resolve((message as { socket: Socket }).socket)
  subscribe('http.server.request.start', seen)
  subscribe('http.server.response.finish', ask) // one more ahead for each that is taken
  for (let nth = 0; nth < 50; nth += 1) ask()
  const served = await begun.promise
  if (!served.closed) await new Promise(resolve => served.once('close', resolve))
  unsubscribe('http.server.request.start', seen)
  unsubscribe('http.server.response.finish', ask)
  socket.destroy()
  expect((await at.ask(`/v2/${name}/manifests/v1`)).status).toBe(200)
})
