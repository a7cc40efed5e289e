/** One address that is listened on: whom it speaks TLS with, and for how long it waits for that. */
import { once } from 'node:events'
import { request } from 'node:http'
import { connect as connectPlain, type Socket } from 'node:net'
import { type ConnectionOptions, connect } from 'node:tls'
import { describe, expect, test, vi } from 'vitest'
import { type BoundAddress, type Identity, Listener } from '../../../src/edge/listener.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { caCertificate, expiredCertificate, serverCertificate } from '../../fake/certificates.ts'

interface Setting {
  tls?: Identity | undefined
  handshakeMs?: number
}

async function listening({ tls = serverCertificate, ...setting }: Setting = {}) {
  const lines: Record<string, unknown>[] = []
  const log = createLogger('debug', {
    write: text => void lines.push(JSON.parse(text) as Record<string, unknown>),
  })
  const address = { host: '127.0.0.1', port: 0, role: 'registry' as const, tls }
  const listener = new Listener(address, {
    ...setting,
    log,
    answer: (_, response) => response.end('hello'),
    maxConnections: () => 100,
    connectionsPerClient: () => 0,
    headersMs: () => 65_000,
  })
  const bound = await listener.open()
  return {
    address,
    bound,
    lines,
    listener,
    async [Symbol.asyncDispose]() {
      const closed = listener.close()
      listener.cut()
      await closed
    },
  }
}

/** Resolves when both sides are agreed. */
async function shake({ port }: BoundAddress, options: ConnectionOptions = {}) {
  const socket = connect({ port, host: '127.0.0.1', ca: caCertificate, servername: 'tls.test', ...options })
  await once(socket, 'secureConnect')
  const agreed = {
    name: socket.getPeerCertificate().subject.CN,
    protocol: socket.getProtocol(),
    alpn: socket.alpnProtocol,
  }
  socket.resume().end()
  await once(socket, 'close')
  return agreed
}

describe('a listener with a certificate', () => {
  test('speaks HTTP/1.1 over TLS 1.3, or over 1.2 with who has no other', async () => {
    await using at = await listening()
    const alpn = { ALPNProtocols: ['h2', 'http/1.1'] }
    expect(await shake(at.bound, alpn)).toEqual({ name: 'tls.test', protocol: 'TLSv1.3', alpn: 'http/1.1' })
    expect((await shake(at.bound, { maxVersion: 'TLSv1.2' })).protocol).toBe('TLSv1.2')
  })

  test('speaks nothing older', async () => {
    await using at = await listening()
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
    await expect(shake(at.bound, old)).rejects.toThrow('alert protocol version')
  })

  test('closes the connection of who speaks plain HTTP, with one line for those who want to know', async () => {
    await using at = await listening()
    const asking = once(request({ port: at.bound.port, host: '127.0.0.1' }).end(), 'response')
    await expect(asking).rejects.toThrow(/socket hang up|ECONNRESET/)
    await vi.waitFor(() => expect(at.lines).toHaveLength(1), { timeout: 5_000 })
    expect(at.lines[0]).toMatchObject({
      level: 'debug',
      msg: 'a TLS handshake failed',
      client: '127.0.0.1',
      error: expect.stringContaining('http request'),
    })
    expect((await shake(at.bound)).name).toBe('tls.test')
  })

  test('closes the connection of who does not finish the handshake', async () => {
    await using at = await listening({ handshakeMs: 50 })
    const silent = connectPlain(at.bound.port, '127.0.0.1')
    await once(silent, 'close')
    await vi.waitFor(() => expect(at.lines).toHaveLength(1), { timeout: 5_000 })
    expect(at.lines[0]).toMatchObject({ level: 'debug', error: 'TLS handshake timeout' })
  })

  test('serves others while one does not finish its handshake, and cuts that with everything else', async () => {
    await using at = await listening()
    const silent = connectPlain(at.bound.port, '127.0.0.1')
    await once(silent, 'connect')
    expect((await shake(at.bound)).name).toBe('tls.test') // so that the other has been taken in
    const closed = at.listener.close()
    const gone = once(silent, 'close')
    at.listener.cut()
    await Promise.all([closed, gone])
  })

  test('bears who leaves in the middle of the handshake', async () => {
    await using at = await listening()
    const leaving: Socket = connectPlain(at.bound.port, '127.0.0.1')
    await once(leaving, 'connect')
    leaving.write(Buffer.from([22, 3, 1, 2, 0, 1]))
    leaving.resetAndDestroy()
    await vi.waitFor(() => expect(at.lines).toHaveLength(1), { timeout: 5_000 })
    expect(at.lines[0]).toMatchObject({ level: 'debug', msg: 'a TLS handshake failed' })
    expect((await shake(at.bound)).name).toBe('tls.test')
  })
})

describe('renewing', () => {
  test('shows the new certificate to who resumes a session, too', async () => {
    await using at = await listening({ tls: expiredCertificate })
    const first = connect({ port: at.bound.port, host: '127.0.0.1', rejectUnauthorized: false })
    const [session] = (await once(first, 'session')) as [Buffer]
    first.destroy()
    at.listener.renew([{ ...at.address, tls: serverCertificate }])
    expect((await shake(at.bound, { session })).name).toBe('tls.test')
  })

  test('leaves everything as it is for the same certificate, and where the address has none', async () => {
    await using at = await listening()
    at.listener.renew([{ ...at.address, tls: { ...serverCertificate } }])
    at.listener.renew([])
    at.listener.renew([{ ...at.address, port: 1, tls: expiredCertificate }])
    expect((await shake(at.bound)).name).toBe('tls.test')
    expect(at.lines).toEqual([])
  })

  test('with a pair that does not fit throws, and keeps the old one', async () => {
    await using at = await listening()
    const bad = { cert: expiredCertificate.cert, key: serverCertificate.key }
    expect(() => at.listener.renew([{ ...at.address, tls: bad }])).toThrow('key values mismatch')
    expect((await shake(at.bound)).name).toBe('tls.test')
    at.listener.renew([{ ...at.address, tls: expiredCertificate }])
    expect((await shake(at.bound, { rejectUnauthorized: false })).name).toBe('expired.test')
    expect(at.lines.map(({ msg }) => msg)).toEqual(['a new certificate is in use'])
  })
})

test('what is bound tells that there is TLS, and neither certificate nor key', async () => {
  await using at = await listening()
  expect(at.bound).toEqual({ host: '127.0.0.1', port: expect.any(Number), role: 'registry', tls: true })
})
