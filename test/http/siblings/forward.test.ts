/** What a server cannot answer, the primary does: clients see no difference, whatever becomes of either of them. */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { buffer, text as textOf } from 'node:stream/consumers'
import { describe, expect, test, vi } from 'vitest'
import type { Answer } from '../../../src/edge/answer.ts'
import { type Exchange, openExchange } from '../../../src/edge/exchange.ts'
import { Forward } from '../../../src/edge/siblings/forward.ts'
import { assertMayWrite } from '../../../src/edge/writes/access.ts'
import { requestBody } from '../../../src/edge/writes/body.ts'
import { RegistryError } from '../../../src/oci/errors.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { type Siblings, siblings, text } from './scene.ts'

const mib = 1024 * 1024

/** Answers with what was sent. */
const echo = async (exchange: Exchange, stalledMs = 60_000): Promise<Answer> => {
  const chunks: Buffer[] = []
  for await (const chunk of requestBody(exchange, { stalledMs, slowest: 0 }).chunks) chunks.push(chunk)
  return { status: 201, headers: {}, content: { kind: 'buffer', buffer: Buffer.concat(chunks) } }
}

/** The bytes on the connection until the server ends it. */
async function sendRaw({ port }: Siblings, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(bytes)
  return textOf(socket)
}

function begin({ url }: Siblings, path: string, headers: Record<string, string>, agent?: Agent) {
  const outgoing = request(`${url}${path}`, { method: 'PATCH', headers, agent: agent ?? false })
  const answered = once(outgoing, 'response') as Promise<[IncomingMessage]>
  answered.catch(() => {})
  outgoing.on('error', () => {})
  return { outgoing, answered }
}

/** The first exchange of that process, once there is one. */
async function first(exchanges: readonly Exchange[]): Promise<Exchange> {
  return vi.waitFor(() => {
    const [found] = exchanges
    if (!found) throw new Error('nobody has asked')
    return found
  })
}

/** An answer that comes as the test pushes it. */
function slow(length?: number): {
  answer: Answer
  push: (chunk: Buffer) => void
  end: () => void
  closed: Promise<void>
} {
  const { readable, writable } = new TransformStream<Buffer, Buffer>({}, { highWaterMark: 1000 })
  const writer = writable.getWriter()
  const closed = Promise.withResolvers<void>()
  return {
    answer: {
      status: 200,
      headers: {},
      content: {
        kind: 'relay',
        relay: { body: readable as AsyncIterable<Buffer>, close: closed.resolve },
        length,
      },
    },
    push: chunk => void writer.write(chunk),
    end: () => void writer.close(),
    closed: closed.promise,
  }
}

describe('a request', () => {
  test('arrives as the client sent it, with who the client is', async () => {
    await using at = await siblings(async () => text('hello'))
    await sendRaw(
      at,
      'GET /v2/a%2Fb/?ns=x&n=1 HTTP/1.1\r\nHost: one.example\r\nX-Twice: 1\r\nx-twice: 2\r\nRange: bytes=0-\r\nUser-Agent: caf\xe9\r\n' +
        'Via: 1.1 proxy\r\nConnection: close, via\r\nTE: trailers\r\nLayover-Inward: {"client":"127.0.0.1"}\r\nlayover-follow: 1\r\n\r\n',
    )
    const [inner] = at.primary
    expect(inner?.request.url).toBe('/v2/a%2Fb/?ns=x&n=1')
    const { headers = {}, headersDistinct = {} } = inner?.request ?? {}
    expect(headersDistinct['x-twice']).toEqual(['1', '2'])
    expect(headers).toMatchObject({ host: 'one.example', range: 'bytes=0-', via: '1.1 proxy' })
    expect(headers.te).toBeUndefined()
    expect(headers.connection).toBe('keep-alive')
    const [outer] = at.server
    expect(inner).toMatchObject({ inward: true, role: 'mirror', client: '127.0.0.1' })
    expect(inner?.requestId).toBe(outer?.requestId)
    expect(outer).toMatchObject({ inward: false, client: '127.0.0.1' })
  })

  test('of HTTP/1.0 is known as one, and answered as one', async () => {
    const parts = slow()
    await using at = await siblings(async () => parts.answer)
    parts.push(Buffer.from('of unknown '))
    parts.push(Buffer.from('length'))
    parts.end()
    const answer = await sendRaw(at, 'GET /v2/ HTTP/1.0\r\nExpect: 100-continue\r\n\r\n')
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
    expect(answer).toMatch(/\r\n\r\nof unknown length$/)
    expect(answer).not.toMatch(/transfer-encoding/i)
    expect(at.primary[0]?.request.httpVersion).toBe('1.0')
  })

  test('whose body is encoded otherwise than in chunks is known as one', async () => {
    await using at = await siblings(echo)
    const encoding = 'Transfer-Encoding: gzip, chunked'
    await sendRaw(at, `POST /v2/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${encoding}\r\n\r\n0\r\n\r\n`)
    expect(at.primary[0]?.request.headers['transfer-encoding']).toBe('gzip, chunked')
  })

  test('may have headers as large as a client may send them', async () => {
    await using at = await siblings(async () => text('ok'))
    const headers = { 'x-large': 'x'.repeat(15_500) }
    expect((await at.ask('/v2/', { headers })).status).toBe(200)
  })

  test.each<[string, Record<string, string>, string, string]>([
    ['is somewhere else', {}, '10.1.2.3', '1.1'],
    ['is not known any more', {}, '', '1.1'],
    ['speaks HTTP/1.0', {}, '127.0.0.1', '1.0'],
    ['was sent by a proxy', { 'x-forwarded-for': '10.1.2.3' }, '127.0.0.1', '1.1'],
    ['names another host', { host: 'registry.corp.example' }, '127.0.0.1', '1.1'],
  ])('of a client that %s may not write, though it comes in at a socket of this machine', async (_, headers, client, httpVersion) => {
    await using at = await siblings(async exchange => {
      assertMayWrite(exchange)
      return text('written')
    })
    const origin = (of: object) => ({
      host: 'localhost',
      ...headers,
      'layover-inward': JSON.stringify({
        role: 'registry',
        requestId: '1',
        client,
        httpVersion,
        secret: at.inlet.secret,
        ...of,
      }),
    })
    const sent = { socketPath: at.inlet.path, path: '/v2/', method: 'PUT', agent: false as const }
    const [refused] = (await once(request({ ...sent, headers: origin({}) }).end(), 'response')) as [
      IncomingMessage,
    ]
    expect(refused.statusCode).toBe(403)
    refused.resume()
  })

  test('of a client of this machine may write', async () => {
    await using at = await siblings(async exchange => {
      assertMayWrite(exchange)
      return text('written')
    })
    expect((await at.ask('/v2/', { method: 'PUT' })).status).toBe(200)
    const headers = { 'x-forwarded-for': '10.1.2.3', connection: 'close, x-forwarded-for' }
    expect((await at.ask('/v2/', { method: 'PUT', headers })).status).toBe(403)
  })

  test.each([
    {},
    { role: 'registry' },
    { role: 'registry', secret: 'a guess' },
    { role: 'registry', secret: randomUUID() },
  ])('is taken from siblings alone, and not from %j', async origin => {
    await using at = await siblings(async () => text('ok'))
    const headers = { 'layover-inward': JSON.stringify({ client: '127.0.0.1', requestId: '1', ...origin }) }
    const outgoing = request({ socketPath: at.inlet.path, path: '/v2/', agent: false, headers }).end()
    const [reply] = (await once(outgoing, 'response')) as [IncomingMessage]
    expect(reply.statusCode).toBe(403)
    reply.resume()
    expect(at.primary).toEqual([])
  })
})

describe('an answer', () => {
  test('comes with its headers and its body, and with what the log wants to know', async () => {
    const facts = {
      kind: 'manifest',
      upstream: 'docker.io',
      repository: 'library/grün',
      provenance: { outcome: 'hit', lastsMs: Number.POSITIVE_INFINITY },
    } as const
    await using at = await siblings(async exchange => {
      Object.assign(exchange.facts, facts)
      return text('hello', { headers: { etag: '"1"', link: '</v2/x>; rel="next"' } })
    })
    const { status, headers, body } = await at.ask('/v2/')
    expect([status, body.toString()]).toEqual([200, 'hello'])
    expect(headers).toMatchObject({
      etag: '"1"',
      link: '</v2/x>; rel="next"',
      'content-length': '5',
      'cache-status': 'layover; hit',
      'x-request-id': at.server[0]?.requestId,
    })
    expect(Object.keys(headers).filter(name => name.startsWith('layover'))).toEqual([])
    expect(at.server[0]?.facts).toEqual({ ...facts, sentBytes: 5 })
  })

  test('to HEAD has the length of what GET would get, and no body', async () => {
    await using at = await siblings(async () => text('hello'))
    const { status, headers, body } = await at.ask('/v2/', { method: 'HEAD' })
    expect([status, headers['content-length'], body.length]).toEqual([200, '5', 0])
  })

  test.each([204, 304])('of status %i has no body and no length', async status => {
    await using at = await siblings(async () => ({
      status,
      headers: { etag: '"1"' },
      content: { kind: 'none' },
    }))
    const answer = await at.ask('/v2/')
    expect([answer.status, answer.headers.etag, answer.body.length]).toEqual([status, '"1"', 0])
    expect(answer.headers['content-length']).toBeUndefined()
  })

  test('that is an error is told whole, and its reason to the log in short', async () => {
    const long = `no\nsuch ü ${'x'.repeat(2000)}`
    await using at = await siblings(() =>
      Promise.reject(new RegistryError('UNAVAILABLE', long, { retryAfterMs: 5000, cause: new Error('why') })),
    )
    const { status, headers, body } = await at.ask('/v2/')
    expect([status, headers['retry-after']]).toEqual([503, '5'])
    expect(JSON.parse(body.toString())).toEqual({ errors: [{ code: 'UNAVAILABLE', message: long }] })
    expect(at.server[0]?.facts.error).toBe(long.slice(0, 1024))
  })

  test('of unknown length ends as it should', async () => {
    const parts = slow()
    await using at = await siblings(async () => parts.answer)
    parts.push(Buffer.alloc(300_000, 'a'))
    const reply = await at.open('/v2/')
    parts.push(Buffer.alloc(300_000, 'b'))
    parts.end()
    expect((await buffer(reply)).length).toBe(600_000)
    expect(reply.headers['transfer-encoding']).toBe('chunked')
  })

  test('leaves the connection to the primary to the next one', async () => {
    await using at = await siblings(exchange => echo(exchange))
    for (const method of ['GET', 'HEAD', 'POST', 'DELETE']) await at.ask('/v2/', { method })
    await at.ask('/v2/', { method: 'PUT', body: Buffer.from('body') })
    await at.ask('/v2/', { method: 'GET' })
    expect(at.primary).toHaveLength(6)
    expect(at.innerPorts()).toBe(1)
  })

  test('is waited for when the primary has no room for one more connection', async () => {
    await using dir = await tempDir()
    const socketPath = dir.join('primary.sock')
    const primary = createServer((_, response) => response.end('hello'))
    await once(primary.listen({ path: socketPath, backlog: 1 }), 'listening')
    const forward = new Forward({ inlet: { path: socketPath, secret: '' }, open: async () => undefined })
    const exchanges: Exchange[] = []
    const server = createServer((incoming, response) => exchanges.push(openExchange(incoming, response)))
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const { port } = server.address() as AddressInfo
    const clients = Array.from({ length: 50 }, () => connect(port, '127.0.0.1'))
    for (const client of clients) client.write('GET /v2/ HTTP/1.1\r\nhost: localhost\r\n\r\n')
    await vi.waitFor(() => expect(exchanges).toHaveLength(50))
    const answers = await Promise.all(exchanges.map(exchange => forward.answer(exchange))) // all in one turn
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    for (const client of clients) client.destroy()
    await forward.close()
    server.close()
    primary.close()
  })

  test('is given to two thousand clients at once', async () => {
    await using at = await siblings(async () => text('hello'))
    const all = Array.from({ length: 2000 }, () => at.ask('/v2/'))
    const statuses = await Promise.all(all.map(async answer => (await answer).status))
    expect(new Set(statuses)).toEqual(new Set([200]))
  })
})

describe('a body', () => {
  test.each(['with its length', 'in chunks'])('arrives %s', async how => {
    const body = Buffer.alloc(3 * mib, 'body')
    await using at = await siblings(exchange => echo(exchange))
    const framing =
      how === 'in chunks' ? { 'transfer-encoding': 'chunked' } : { 'content-length': `${body.length}` }
    const { outgoing, answered } = begin(at, '/v2/', framing)
    outgoing.end(body)
    const [reply] = await answered
    expect(reply.statusCode).toBe(201)
    expect((await buffer(reply)).equals(body)).toBe(true)
    const { headers } = (await first(at.primary)).request
    expect([headers['content-length'], headers['transfer-encoding']]).toEqual([
      framing['content-length'],
      framing['transfer-encoding'],
    ])
  })

  test('is asked for when the primary asks for it, and not before', async () => {
    const gate = Promise.withResolvers<void>()
    await using at = await siblings(async exchange => {
      await gate.promise
      return echo(exchange)
    })
    const { outgoing, answered } = begin(at, '/v2/', { expect: '100-continue', 'content-length': '4' })
    let asked = false
    const asking = once(outgoing, 'continue').then(() => {
      asked = true
    })
    outgoing.flushHeaders()
    const inner = await first(at.primary)
    expect(inner.request.headers.expect).toBe('100-continue')
    expect(asked).toBe(false)
    gate.resolve()
    await asking
    outgoing.end('body')
    const [reply] = await answered
    expect(await textOf(reply)).toBe('body')
  })

  test('is never asked for when it is refused, and the connection ends', async () => {
    await using at = await siblings(() => Promise.reject(new RegistryError('DENIED', 'no')))
    const { outgoing, answered } = begin(at, '/v2/', { expect: '100-continue', 'content-length': '4' })
    outgoing.on('continue', () => expect.unreachable('the body was asked for'))
    outgoing.flushHeaders()
    const [reply] = await answered
    expect([reply.statusCode, reply.headers.connection]).toEqual([403, 'close'])
    await buffer(reply)
  })

  test('that is too large is refused while it is still coming', async () => {
    await using at = await siblings(() => Promise.reject(new RegistryError('SIZE_INVALID', 'no')))
    const { outgoing, answered } = begin(at, '/v2/', { 'content-length': `${500 * mib}` })
    const chunk = Buffer.alloc(mib)
    const more = () => {
      while (outgoing.writable && outgoing.write(chunk));
    }
    outgoing.on('drain', more)
    more()
    const [reply] = await answered
    expect([reply.statusCode, reply.headers.connection]).toEqual([400, 'close'])
    expect((await buffer(reply)).toString()).toContain('SIZE_INVALID')
    outgoing.destroy()
  })

  test('that is refused is read to its end for a moment, so that the answer is not lost with it', async () => {
    const gate = Promise.withResolvers<void>()
    await using at = await siblings(async () => {
      await gate.promise
      throw new RegistryError('SIZE_INVALID', 'no')
    })
    const { outgoing, answered } = begin(at, '/v2/', { 'content-length': `${8 * mib}` })
    outgoing.flushHeaders()
    const { request: outer } = await first(at.server)
    const finished = once(outgoing, 'finish') // much of it may go into the system's buffers
    outgoing.end(Buffer.alloc(8 * mib))
    await vi.waitFor(() => expect(outer.isPaused()).toBe(true)) // the primary takes no more
    gate.resolve()
    const [reply] = await answered
    expect(reply.statusCode).toBe(400)
    await finished
    await vi.waitFor(() => expect(outer.complete).toBe(true))
  })

  test('comes no faster than the primary takes it', async () => {
    const gate = Promise.withResolvers<void>()
    await using at = await siblings(async exchange => {
      await gate.promise
      return echo(exchange)
    })
    const { outgoing, answered } = begin(at, '/v2/', { 'content-length': `${64 * mib}` })
    outgoing.end(Buffer.alloc(64 * mib))
    const { request: outer } = await first(at.server)
    let before = -1
    await vi.waitFor(
      () => {
        const now = outer.socket.bytesRead
        const isQuiet = now === before && now > mib / 16
        before = now
        expect(isQuiet).toBe(true)
      },
      { interval: 100, timeout: 10_000 },
    )
    expect(outer.socket.bytesRead).toBeLessThan(4 * mib)
    gate.resolve()
    const [reply] = await answered
    expect((await buffer(reply)).length).toBe(64 * mib)
  })

  test('that the primary leaves unread ends the connection of the client', async () => {
    await using at = await siblings(async () => text('enough', { status: 202 }))
    using agent = Object.assign(new Agent({ keepAlive: true }), {
      [Symbol.dispose]: () => agent.destroy(),
    })
    const { outgoing, answered } = begin(at, '/v2/', { 'transfer-encoding': 'chunked' }, agent)
    outgoing.write('one of many chunks')
    const [reply] = await answered
    expect([reply.statusCode, reply.headers.connection]).toEqual([202, 'close'])
    outgoing.end()
    await buffer(reply)
  })
})

describe('a client that leaves', () => {
  test('in the middle of its body ends the request to the primary', async () => {
    const broken = Promise.withResolvers<unknown>()
    await using at = await siblings(async exchange => {
      try {
        return await echo(exchange)
      } catch (error) {
        broken.resolve(error)
        throw error
      }
    })
    const { outgoing } = begin(at, '/v2/', { 'content-length': '1000' })
    outgoing.write('some')
    await first(at.primary)
    outgoing.destroy()
    expect(await broken.promise).toMatchObject({ code: 'ECONNRESET' })
  })

  test('before the answer begins ends the request to the primary', async () => {
    await using at = await siblings(() => new Promise(() => {}))
    const { outgoing } = begin(at, '/v2/', {})
    outgoing.end()
    const inner = await first(at.primary)
    const closed = once(inner.response, 'close')
    outgoing.destroy()
    await closed
  })

  test('in the middle of the answer ends it', async () => {
    const parts = slow()
    await using at = await siblings(async () => parts.answer)
    parts.push(Buffer.from('begun'))
    const reply = await at.open('/v2/')
    reply.on('error', () => {})
    reply.destroy()
    await parts.closed
    expect(at.primary).toHaveLength(1)
  })
})

describe('a primary', () => {
  test('that dies in the middle of an answer cuts the client off', async () => {
    for (const length of [undefined, 100]) {
      const parts = slow(length)
      await using at = await siblings(async () => parts.answer)
      parts.push(Buffer.from('begun'))
      const reply = await at.open('/v2/')
      await at.kill()
      await expect(buffer(reply)).rejects.toMatchObject({ code: 'ECONNRESET' })
      expect(at.server[0]?.facts.error).toMatchObject({ code: 'UNAVAILABLE' })
    }
  })

  test('that dies before its answer makes it 503, to be tried again in a second', async () => {
    await using at = await siblings(() => new Promise(() => {}))
    const answered = at.ask('/v2/')
    await first(at.primary)
    await at.kill()
    const { status, headers } = await answered
    expect([status, headers['retry-after']]).toEqual([503, '1'])
  })

  test('that dies in the middle of a body cuts the client off', async () => {
    await using at = await siblings(exchange => echo(exchange))
    const { outgoing, answered } = begin(at, '/v2/', { 'content-length': '1000' })
    outgoing.write('some')
    const inner = await first(at.primary)
    await vi.waitFor(() => expect(inner.request.readableDidRead).toBe(true))
    await at.kill()
    await expect(answered).rejects.toMatchObject({ code: 'ECONNRESET' })
  })

  test('that waits in vain for more of a body ends the connection of the client', async () => {
    await using at = await siblings(exchange => echo(exchange, 50))
    const { outgoing, answered } = begin(at, '/v2/', { 'content-length': '1000' })
    outgoing.write('some')
    await expect(answered).rejects.toMatchObject({ code: 'ECONNRESET' })
  })

  test('that hangs makes it 503, and cuts off who has a part of the answer', async () => {
    const silence = new AbortController()
    const parts = slow()
    const hangs = Promise.withResolvers<Answer>()
    const answers = [parts.answer, hangs.promise]
    await using at = await siblings(async () => answers.shift() ?? text('ok'), {
      silence: () => silence.signal,
    })
    parts.push(Buffer.from('a part'))
    const cut = sendRaw(at, 'GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n')
    await first(at.primary)
    const waiting = at.ask('/v2/')
    await vi.waitFor(() => expect(at.primary).toHaveLength(2))
    silence.abort()
    expect(await waiting).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
    expect(await cut).not.toMatch(/0\r\n\r\n$/)
    expect((await at.ask('/v2/')).status).toBe(503)
    hangs.resolve(text('late'))
  })

  test('that is not there makes it 503, also for a push', async () => {
    await using at = await siblings(exchange => echo(exchange))
    await at.ask('/v2/')
    await at.kill()
    for (const body of [undefined, Buffer.from('body')]) {
      const { status, headers } = await at.ask('/v2/', { method: 'PUT', ...(body ? { body } : {}) })
      expect([status, headers['retry-after']]).toEqual([503, '1'])
    }
  })
})
