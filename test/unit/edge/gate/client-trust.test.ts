/** Client certificates at one address, over real handshakes. */
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, RequestListener } from 'node:http'
import { Agent, request } from 'node:https'
import { connect as connectPlain } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { certificateOf } from '../../../../src/edge/gate/certificate.ts'
import type { ClientAuthority } from '../../../../src/edge/gate/client-trust.ts'
import { type Identity, Listener } from '../../../../src/edge/listener.ts'
import { createLogger } from '../../../../src/observe/log.ts'
import { caCertificate, clientCertificate, serverCertificate } from '../../../fake/certificates.ts'
import {
  alice,
  branchCa,
  carol,
  lateClient,
  mallory,
  teamCa,
  teamCrl,
} from '../../../fake/client-certificates.ts'

const optional: ClientAuthority = { ca: teamCa, isRequired: false }
const required: ClientAuthority = { ca: teamCa, isRequired: true }

const tellNames: RequestListener = ({ socket }, response) =>
  response.end(JSON.stringify(certificateOf(socket)?.commonNames ?? []))

async function listening(clients: ClientAuthority | undefined, answer = tellNames) {
  const lines: Record<string, unknown>[] = []
  const log = createLogger('debug', {
    write: text => void lines.push(JSON.parse(text) as Record<string, unknown>),
  })
  const address = (of: ClientAuthority | undefined) => ({
    host: '127.0.0.1',
    port: 0,
    role: 'registry' as const,
    tls: { ...serverCertificate, clients: of },
  })
  const listener = new Listener(address(clients), {
    log,
    answer,
    maxConnections: () => 100,
    connectionsPerClient: () => 0,
    headersMs: () => 65_000,
  })
  const { port } = await listener.open()
  const agents: Agent[] = []
  return {
    lines,
    port,
    renew: (of: ClientAuthority | undefined) => listener.renew([address(of)]),
    /** As one client, with connections of its own. */
    client(identity?: Partial<Identity>, options: object = {}) {
      const trust = { ca: caCertificate, servername: 'tls.test' }
      const { cert, key } = identity ?? {}
      const shown = cert === undefined || key === undefined ? {} : { cert, key }
      const agent = new Agent({ keepAlive: true, maxSockets: 1, ...trust, ...shown, ...options })
      agents.push(agent)
      return () => ask(port, agent)
    },
    async [Symbol.asyncDispose]() {
      for (const agent of agents) agent.destroy()
      const closed = listener.close()
      listener.cut()
      await closed
    },
  }
}

async function ask(port: number, agent: Agent) {
  const outgoing = request({ host: '127.0.0.1', port, agent }).end()
  const [reply] = (await once(outgoing, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of reply) chunks.push(chunk as Buffer)
  const body = JSON.parse(Buffer.concat(chunks).toString()) as unknown
  return { status: reply.statusCode, headers: reply.headers, body, isReused: outgoing.reusedSocket }
}

const versions = [['TLSv1.2'], ['TLSv1.3']] as const
const isCut = /socket hang up|ECONNRESET|alert|EPIPE|disconnected/

describe.each(versions)('client certificates over %s', version => {
  const over = { minVersion: version, maxVersion: version }

  test('are asked for, and name who shows one', async () => {
    await using at = await listening(required)
    expect((await at.client(alice, over)()).body).toContain('alice')
    await expect(at.client(undefined, over)()).rejects.toThrow(isCut)
  })

  test('may be left out where they are optional', async () => {
    await using at = await listening(optional)
    expect(await at.client(undefined, over)()).toMatchObject({ status: 200, body: [] })
    expect((await at.client(alice, over)()).body).toContain('alice')
  })

  test.each([
    ['of another authority', clientCertificate, /SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO/],
    ['that has expired', lateClient, /CERT_HAS_EXPIRED/],
    ['for a server', serverCertificate, /./],
    ['whose branch is not shown with it', carol, /UNABLE_TO/],
  ])('%s are refused, and the log says why', async (_, identity, why) => {
    await using at = await listening(optional)
    const { status, headers, body } = await at.client(identity, over)()
    expect([status, headers.connection, headers['www-authenticate']]).toEqual([403, 'close', undefined])
    const { errors } = body as { errors: { code: string; message: string }[] }
    expect(errors[0]).toMatchObject({ code: 'DENIED', message: expect.stringMatching(why) as string })

    await using strict = await listening(required)
    await expect(strict.client(identity, over)()).rejects.toThrow(isCut)
    const refused = { level: 'warn', reason: expect.stringMatching(why) as string }
    for (const { lines } of [at, strict])
      await vi.waitFor(() => expect(lines).toContainEqual(expect.objectContaining(refused)), {
        timeout: 5_000,
      })
  })

  test('end their connections when they end: who keeps one open is not let in for ever', async () => {
    await using at = await listening(required)
    const ask = at.client(alice, over)
    await ask()
    expect(await ask()).toMatchObject({ status: 200, isReused: true })
    vi.useFakeTimers({ toFake: ['Date'], now: new X509Certificate(alice.cert).validToDate })
    onTestFinished(() => void vi.useRealTimers())
    await expect(ask()).rejects.toThrow(isCut)
  })

  test('may come with those between them and the root', async () => {
    await using at = await listening(required)
    const chain = { ...carol, cert: `${carol.cert}${branchCa}` }
    expect((await at.client(chain, over)()).body).toEqual(['carol'])
    at.renew({ ...required, ca: `${teamCa}${branchCa}` })
    expect((await at.client(carol, over)()).body).toEqual(['carol'])
  })

  test('that were taken back are refused where their authority says so', async () => {
    await using at = await listening(required)
    expect((await at.client(mallory, over)()).body).toEqual(['mallory'])
    at.renew({ ...required, crl: teamCrl })
    await expect(at.client(mallory, over)()).rejects.toThrow(isCut)
    expect((await at.client(alice, over)()).body).toContain('alice')
  })

  test('are looked at in each handshake: no session goes on that would pass by their end', async () => {
    await using at = await listening(undefined)
    const { port } = at
    const options = { ...over, ca: caCertificate, servername: 'tls.test', cert: alice.cert, key: alice.key }
    const askWith = (session?: Buffer, more: object = {}) =>
      askOnce(connect({ port, host: '127.0.0.1', ...options, ...more, ...(session ? { session } : {}) }))
    const before = await askWith()
    expect(await askWith(before.session)).toMatchObject({ isReused: true, names: [] })

    at.renew(optional)
    const first = await askWith(before.session)
    expect(first.isReused).toBe(false)
    expect(first.names).toContain('alice')
    const again = await askWith(first.session)
    expect(again).toMatchObject({ isReused: false, names: first.names })
    const nobody = { cert: undefined, key: undefined }
    expect(await askWith(again.session, nobody)).toMatchObject({ isReused: false, names: [] })

    at.renew({ ...required, ca: caCertificate })
    await expect(askWith(again.session)).rejects.toThrow(isCut)
  })
})

/** One request over the connection, and the session that it could go on with. */
async function askOnce(socket: TLSSocket) {
  const sessions: Buffer[] = []
  socket.on('session', (session: Buffer) => sessions.push(session))
  await once(socket, 'secureConnect')
  const isReused = socket.isSessionReused()
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  const received = Buffer.concat(chunks).toString()
  if (received === '') throw new Error('socket hang up')
  const names = JSON.parse(received.slice(received.indexOf('\r\n\r\n') + 4)) as string[]
  return { names, isReused, session: sessions.at(-1) }
}

test('another process knows no session of ours, and agrees anew', async () => {
  await using one = await listening(undefined)
  await using other = await listening(undefined)
  const options = { host: '127.0.0.1', ca: caCertificate, servername: 'tls.test' }
  const { session } = await askOnce(connect({ port: one.port, ...options }))
  expect((await askOnce(connect({ port: other.port, ...options, session }))).isReused).toBe(false)
})

describe('when other authorities hold', () => {
  test('idle connections are closed, and clients come again', async () => {
    await using at = await listening(optional)
    const asks = at.client(alice)
    await asks()
    expect((await asks()).isReused).toBe(true)
    at.renew({ ...optional, ca: `${teamCa}${caCertificate}` })
    await vi.waitFor(async () => expect((await asks()).isReused).toBe(false), { timeout: 5_000 })
  })

  test.each([
    ['has not begun', false],
    ['has begun', true],
  ])('an answer that %s ends, and its connection with it', async (_, hasBegun) => {
    const held = Promise.withResolvers<() => void>()
    await using at = await listening(optional, (_request, response) => {
      if (hasBegun) response.write('["hel')
      held.resolve(() => void response.end(hasBegun ? 'lo"]' : '["hello"]'))
    })
    const socket = connect({ port: at.port, host: '127.0.0.1', rejectUnauthorized: false, ...alice })
    await once(socket, 'secureConnect')
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    const end = await held.promise
    at.renew({ ...optional, ca: caCertificate })
    end()
    const chunks: Buffer[] = []
    for await (const chunk of socket) chunks.push(chunk as Buffer)
    const received = Buffer.concat(chunks).toString()
    expect(received.match(/HTTP\/1\.1 200/g)).toHaveLength(1)
    expect(received).toContain('lo"]')
  })

  test('a handshake under way is begun anew', async () => {
    await using at = await listening(required)
    const plain = connectPlain(at.port, '127.0.0.1')
    await once(plain, 'connect')
    expect((await at.client(alice)()).status).toBe(200) // the server knows of the other one by now
    const gone = once(plain, 'close')
    at.renew({ ...required, ca: caCertificate })
    await gone
  })

  test('certificates are asked for that were not, and not any more that were', async () => {
    await using at = await listening(undefined)
    expect((await at.client(alice)()).body).toEqual([])
    at.renew(required)
    await expect(at.client()()).rejects.toThrow(isCut)
    expect((await at.client(alice)()).body).toContain('alice')
    at.renew(optional)
    expect((await at.client()()).body).toEqual([])
    at.renew(undefined)
    expect((await at.client(clientCertificate)()).body).toEqual([])
  })

  test('a new certificate of the server alone ends no connection', async () => {
    await using at = await listening(optional)
    const asks = at.client(alice)
    await asks()
    at.renew({ ...optional })
    expect((await asks()).isReused).toBe(true)
  })
})
