/** Pushes that are never finished, and ranges that nobody needs: nothing stays behind, and memory stays within bounds. */
import type { Socket } from 'node:net'
import { describe, expect, test, vi } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { image } from '../../fake/content.ts'
import { bytes, name, pushScene } from '../push/scene.ts'
import { dial, head, heapBytes, statusesIn, talk, untilClosed, untilHeapBelow } from './wire.ts'

const mib = 2 ** 20
const uploads = `/v2/${name}/blobs/uploads/`

/** Resolves when the system has taken it, or the server wants no more of it. */
async function written(socket: Socket, body: Buffer): Promise<void> {
  if (socket.write(body) || socket.closed) return
  await new Promise<void>(resolve => socket.once('drain', resolve).once('close', () => resolve()))
}

describe('uploads broken off by the hundred', () => {
  test.each([
    ['in one request, small', 1_000_000, 700_000],
    ['in one request, large', 5_000_000, 1_500_000],
    ['before their first byte', 5_000_000, 0],
  ])('%s, leave nothing', async (_, announced, sent) => {
    await using at = await pushScene()
    const before = await heapBytes()
    const digest = digestOf(Buffer.from('never whole'))
    const body = bytes(sent)
    for (let nth = 0; nth < 100; nth += 1) {
      const socket = await dial(at.layover.url)
      socket.write(head(`POST ${uploads}?digest=${digest}`, { 'content-length': String(announced) }))
      if (sent > 0) await written(socket, body)
      socket.destroy()
    }
    await vi.waitFor(async () => expect(await at.sessions()).toEqual([]), { timeout: 20_000, interval: 10 })
    await untilHeapBelow(before + 16 * mib)
    await at.push(bytes(3_000))
  })

  test('of sessions that were begun, leave what their clients may go on with, until it is given up', async () => {
    await using at = await pushScene({ limits: { uploads: 100 } })
    for (let nth = 0; nth < 100; nth += 1) {
      const location = await at.start()
      const socket = await dial(at.layover.url)
      socket.write(head(`PATCH ${location}`, { 'content-length': '100000' }, 'a part of it'))
      socket.destroy()
    }
    expect((await at.ask(uploads, { method: 'POST' })).status).toBe(429)
    const givenUp = async () => {
      at.clock.advance(25 * 3_600_000) // others than the one that looks may sleep first, and some may be in use yet
      expect(await at.sessions()).toEqual([])
    }
    await vi.waitFor(givenUp, { timeout: 20_000, interval: 10 })
    await vi.waitFor(() => at.start(), { timeout: 20_000, interval: 10 })
  })
})

describe('bodies that do not end', () => {
  test('are cut off after limits.stalled, and others push meanwhile', async () => {
    await using at = await pushScene({ limits: { stalledMs: 300 } })
    const closed = Array.from({ length: 50 }, async (_, nth) => {
      const socket = await dial(at.layover.url)
      socket.write(head(`PUT /v2/${name}/manifests/v${nth}`, { 'content-length': '3000000' }, '{'))
      return untilClosed(socket)
    })
    await at.push(bytes(3_000))
    for (const heard of await Promise.all(closed)) expect(heard).not.toContain(' 201 ')
  })

  test('that come more slowly than limits.slowest are cut off though they never stall, and others push meanwhile', async () => {
    await using at = await pushScene({ limits: { stalledMs: 400, slowest: 1_000 } })
    const socket = await dial(at.layover.url)
    const closed = untilClosed(socket)
    socket.write(head(`PUT /v2/${name}/manifests/v1`, { 'content-length': '3000000' }))
    const drip = setInterval(() => socket.write('{'), 20)
    await at.push(bytes(3_000))
    expect(await closed).not.toContain(' 201 ')
    clearInterval(drip)
  })

  test.each([
    ['manifests', `PUT /v2/${name}/manifests/v1`, 3 * mib],
    ['blobs', `POST ${uploads}?digest=${digestOf(Buffer.from('never whole'))}`, mib - 1],
  ])('of %s take no more memory together than limits.pushMemory', async (_, line, size) => {
    await using at = await pushScene({ limits: { pushMemory: 8 * mib } })
    const body = Buffer.alloc(size, ' ')
    const before = await heapBytes()
    const sockets = []
    for (let nth = 0; nth < 60; nth += 1) {
      const socket = await dial(at.layover.url)
      const headers = { 'content-length': String(size + 1), 'content-type': 'application/json' }
      socket.write(head(line, headers))
      await written(socket, body)
      sockets.push(socket)
    }
    expect((await at.ask('/v2/')).status).toBe(200)
    await untilHeapBelow(before + 40 * mib)
    for (const socket of sockets) socket.destroy()
    const app = image('app', { layers: [10], padding: 3 * mib })
    await vi.waitFor(async () => expect((await at.put(app.root, 'v1')).status).toBe(201), { timeout: 20_000 })
  })

  test('leave no room for a manifest: 429 with Retry-After until they are gone', async () => {
    await using at = await pushScene({ limits: { pushMemory: mib, manifest: 3 * mib } })
    const begun = head(
      `PUT /v2/${name}/manifests/v0`,
      { 'content-length': String(3 * mib) },
      ' '.repeat(2 * mib),
    )
    let socket: Socket | undefined
    /** It may come after another one, and have no room itself. */
    const hold = async () => {
      if (socket) return
      socket = await dial(at.layover.url)
      socket.once('data', () => {
        socket?.destroy()
        socket = undefined
      })
      socket.write(begun)
    }
    let tries = 0
    const another = () => {
      tries += 1 // one that is here already needs no room
      return at.put(image(`app${tries}`, { layers: [10], padding: 1.5 * mib }).root, 'v1')
    }
    await vi.waitFor(
      async () => {
        await hold()
        const refused = await another()
        expect(at.failure(refused)).toEqual([429, 'TOOMANYREQUESTS'])
        expect(refused.headers['retry-after']).toBe('1')
      },
      { timeout: 20_000 },
    )
    socket?.destroy()
    await vi.waitFor(async () => expect((await another()).status).toBe(201), { timeout: 20_000 })
  })
})

describe('ranges', () => {
  const content = bytes(100_000)
  const huge = '9'.repeat(400)
  const many = (count: number, range: (nth: number) => string) =>
    Array.from({ length: count }, (_, nth) => range(nth)).join(',')

  test.each([
    ['thousands of single bytes', many(1_200, nth => `${nth * 2}-${nth * 2}`), 400],
    ['the whole, thousands of times', many(3_000, () => '0-'), 400],
    ['overlapping ones', many(200, nth => `${nth}-`), 400],
    ['the last bytes, again and again', many(200, () => '-1'), 400],
    ['descending ones', '500-600,0-10', 400],
    ['some that overlap at huge numbers', many(30, () => `0-${huge}`), 400],
    ['beyond all numbers', `${huge}-`, 416],
    ['beyond all numbers at both ends', `${huge}-${huge}`, 416],
    ['a suffix beyond all numbers', `-${huge}`, 206],
    ['2^53 and its neighbours', '9007199254740991-9007199254740993', 416],
    ['one that ends before it begins', '10-5', 416],
    ['commas alone', ','.repeat(5_000), 200],
    ['thousands that are none', many(3_000, () => 'x-y'), 200],
  ])('of %s', async (_, ranges, status) => {
    await using at = await pushScene()
    const digest = await at.push(content)
    const path = `/v2/${name}/blobs/${digest}`
    const heard = await talk(
      at.layover.url,
      head(`GET ${path}`, { range: `bytes=${ranges}`, connection: 'close' }),
    )
    expect([status, heard.length < 300_000]).toEqual([statusesIn(heard)[0], true])
    expect((await at.ask(path)).body.equals(content)).toBe(true)
  })

  test.each([
    'x',
    '-',
    '0-',
    `0-${huge}`,
    `${huge}-${huge}`,
    '-1-5',
    '5-1',
    'bytes 0-2/3, 4-5',
    '0-2,3-5',
    '0x0-0x2',
    ' ',
  ])('Content-Range %j that does not fit the chunk is refused, and the session stays where it is', async range => {
    await using at = await pushScene()
    const location = await at.start()
    const { status } = await at.patch(location, Buffer.from('abc'), { 'content-range': range })
    expect(status).toBeOneOf([400, 416])
    expect(await at.rangeOf(location)).toBe('0-0')
  })
})
