/** What a client may try that would like more than it is let have. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { setImmediate } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { image } from '../../fake/content.ts'
import { basic, issuerOptions, rules } from '../../support/access.ts'
import { startIssuer } from '../../support/issuer.ts'
import { layerOf } from '../scene.ts'
import { app, type Guarded, manifest, pushed, start, tokenAt } from './scene.ts'

const hour = 3_600_000

/** Of a request line as it is written; ends with the connection. */
async function raw(at: Guarded, line: string, ...headers: string[]): Promise<string> {
  const socket = connect(Number(new URL(at.layover.url).port), '127.0.0.1')
  socket.write([line, 'Host: layover.test', 'Connection: close', ...headers, '', ''].join('\r\n'))
  return text(socket)
}

test('a page that policy guards is guarded however its path is written', async () => {
  const at = await start({ metrics: 'policy', health: 'policy' })
  for (const path of [
    '/metrics',
    '/%6detrics',
    '/x/../metrics',
    '/./metrics',
    '/%6Civez',
    '/x/%2e%2e/livez',
    '//layover.test/metrics',
  ])
    for (const form of [path, `http://layover.test${path}`, `HTTP://layover.test${path}`])
      expect(await raw(at, `GET ${form} HTTP/1.1`), form).toMatch(/^HTTP\/1.1 (?:401|404|400) /)
})

test('a webhook that is out lets nobody have what is kept in memory, and says that it is out', async () => {
  const hook = createServer((_, response) => void response.end('{"result": true}')).listen(0, '127.0.0.1')
  await once(hook, 'listening')
  const { port } = hook.address() as AddressInfo
  const webhook = {
    url: `http://127.0.0.1:${port}/`,
    token: undefined,
    timeoutMs: 2_000,
    allowMs: 50,
    denyMs: 0,
    ca: undefined,
  }
  const at = await start({ webhook })
  for (let nth = 0; nth < 3; nth += 1) expect((await at.as('alice', manifest)).status).toBe(200)
  hook.closeAllConnections()
  hook.close()
  await vi.waitFor(async () => expect((await at.as('alice', manifest)).status).toBe(503))
  for (let nth = 0; nth < 3; nth += 1) expect((await at.as('alice', manifest)).status).toBe(503)
})

test('a token for the catalog lists what its owner may pull', async () => {
  const at = await start()
  expect((await at.push('alice', 'local/team/app')).status).toBe(201)
  const token = await tokenAt(`${at.layover.url}/token`, 'registry:catalog:*', basic('alice'))
  await vi.waitFor(async () =>
    expect(JSON.parse((await at.as(`Bearer ${token}`, '/v2/_catalog')).body.toString())).toEqual({
      repositories: ['local/team/app'],
    }),
  )
})

test('wrong passwords do not use up what the user may ask', async () => {
  const at = await start({ rates: { perAddress: 0, perUser: 3 } })
  for (let nth = 0; nth < 6; nth += 1) {
    expect((await at.as(basic('alice', 'guess'), manifest)).status).toBe(401)
    expect((await at.page(basic('alice', 'guess'), '/token')).status).toBe(401)
  }
  await vi.waitFor(() => expect(at.audits()).toHaveLength(12))
  expect((await at.as('alice', manifest)).status).toBe(200)
})

test('who pretends to be a replica is counted and told of as anybody', async () => {
  const at = await start({ rates: { perAddress: 3, perUser: 0 }, policy: rules('true') })
  const forged = () => at.as('alice', manifest, { headers: { 'replica-origin': '{}' } })
  expect((await at.as('alice', manifest)).status).toBe(200)
  expect((await at.as('alice', manifest)).status).toBe(200)
  expect((await forged()).status).toBe(403)
  await vi.waitFor(async () => expect((await forged()).status).toBe(429))
  await vi.waitFor(() =>
    expect(at.audits()[0]).toMatchObject({ audit: 'denied', client: '127.0.0.1', status: 403 }),
  )
})

test('a large answer that is kept is told of by the name of who gets it', async () => {
  const at = await start({ policy: rules('authenticated') })
  const big = image('big', { layers: [200_000] })
  at.net.plain.put('big', 'v1', big)
  const path = `/v2/plain.example/big/blobs/${layerOf(big).digest}`
  await at.as('alice', '/v2/plain.example/big/manifests/v1')
  for (let nth = 0; nth < 4; nth += 1) expect((await at.as('alice', path)).status).toBe(200)
  expect((await at.as('mallory', path)).status).toBe(200)
  await vi.waitFor(() =>
    expect(at.layover.lines.filter(line => line.path === path).map(({ user }) => user)).toEqual([
      'alice',
      'alice',
      'alice',
      'alice',
      'mallory',
    ]),
  )
})

test('whatever was pushed is in the audit, also if its client left at any moment', async () => {
  const at = await start()
  const list = '/v2/local/team/app/tags/list'
  expect((await at.as('alice', list)).status).toBe(404) // the login is known from here on
  const { body, mediaType, digest } = app.root
  const last = 12
  for (let turns = 1; turns <= last; turns += 1) {
    const socket = connect(Number(new URL(at.layover.url).port), '127.0.0.1')
    socket.on('error', () => {}) // the server may be the first to go
    await once(socket, 'connect')
    socket.write(
      [
        `PUT /v2/local/team/app/manifests/${digest}?tag=t${turns} HTTP/1.1`,
        'Host: layover.test',
        `Authorization: ${basic('alice')}`,
        `Content-Type: ${mediaType}`,
        `Content-Length: ${body.length}\r\n\r\n${body.toString()}`,
      ].join('\r\n'),
    )
    if (turns === last) await once(socket, 'data') // however fast the machine is, one comes so far
    for (let turn = 0; turn < turns; turn += 1) await setImmediate()
    socket.resetAndDestroy()
  }
  await vi.waitFor(async () => {
    const { tags } = JSON.parse((await at.as('alice', list)).body.toString()) as { tags: string[] }
    const told = at
      .audits()
      .flatMap(({ audit, user, tags: given }) => (audit === 'push' && user === 'alice' ? given : []))
    expect(new Set(told)).toEqual(new Set(tags))
    expect(told).not.toEqual([])
  })
})

test('nothing is mounted that may not be pulled where it is', async () => {
  const at = await start({
    policy: {
      default: 'allow',
      rules: [{ name: undefined, when: 'action == "pull" && repository == "local/one" && object == "blob"' }],
    },
  })
  expect((await at.push('alice', 'local/one')).status).toBe(201)
  const mount = (query: string) =>
    at.as('alice', `/v2/local/two/blobs/uploads/?mount=${digestOf(pushed)}${query}`, { method: 'POST' })
  expect([(await mount('&from=local/one')).status, (await mount('')).status]).toEqual([202, 202])
})

test('a good token of an issuer is taken though its neighbours behind the address show wrong ones', async () => {
  const issuer = await startIssuer()
  onTestFinished(() => issuer[Symbol.asyncDispose]())
  const at = await start({
    policy: rules('user == "ci:alice"'),
    logins: { perAddress: 2, perUser: 2, windowMs: 24 * hour }, // another window forgives
    oidc: [issuerOptions(issuer)],
  })
  const wrong = async () => (await at.as('Bearer x.y.z', manifest)).status
  expect([await wrong(), await wrong(), await wrong()]).toEqual([401, 401, 429])
  const token = await issuer.token({ sub: 'alice', aud: 'layover' })
  expect((await at.as(`Bearer ${token}`, manifest)).status).toBe(200)
})

test('a name that nobody can have is refused, and neither counted nor told of', async () => {
  const at = await start({ logins: { perAddress: 1, perUser: 1, windowMs: 60_000 } })
  for (const name of ['x'.repeat(4_000), '', 'a\nb'])
    expect((await at.as(basic(name, 'guess'), manifest)).status).toBe(401)
  expect((await at.as('alice', manifest)).status).toBe(200)
  await vi.waitFor(() => expect(at.audits()).toHaveLength(3))
  expect(at.audits().every(({ audit, user }) => audit === 'login-failed' && user === undefined)).toBe(true)
})
