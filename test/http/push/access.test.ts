/** Safe as it comes: until access is configured only this machine pushes and deletes, and everybody pulls. */
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { image } from '../../fake/content.ts'
import { pushBundle } from '../push-client.ts'
import { layerOf, plain, scene } from '../scene.ts'
import {
  bytes,
  errorsOf,
  name,
  type PushScene,
  pushScene,
  type Sending,
  send,
  sendRaw,
  withQuery,
} from './scene.ts'

const app = image('app', { layers: [1_000] })
const layer = layerOf(app)
const content = bytes(1_000)
const digest = digestOf(content)

async function pushed() {
  const at = await pushScene()
  await pushBundle({ url: at.layover.url, name }, app, 'v1')
  return Object.assign(at, { location: await at.start() })
}

/** One of each kind of write. */
function writesTo(location: string): [string, Sending][] {
  const uploads = `/v2/${name}/blobs/uploads/`
  const type = { 'content-type': app.root.mediaType }
  return [
    [uploads, { method: 'POST' }],
    [`${uploads}?digest=${digest}`, { method: 'POST', body: content }],
    [`${uploads}?digest=${digest}`, { method: 'POST', body: [content] }],
    [`/v2/local/thief/blobs/uploads/?mount=${layer.digest}&from=${name}`, { method: 'POST' }],
    [location, { method: 'PATCH', body: content }],
    [withQuery(location, { digest }), { method: 'PUT', body: content }],
    [location, { method: 'DELETE' }],
    [`/v2/${name}/manifests/v2`, { method: 'PUT', headers: type, body: app.root.body }],
    [`/v2/${name}/manifests/${app.digest}?tag=v2`, { method: 'PUT', headers: type, body: [app.root.body] }],
    [`/v2/${name}/manifests/v1`, { method: 'DELETE' }],
    [`/v2/${name}/manifests/${app.digest}`, { method: 'DELETE' }],
    [`/v2/${name}/blobs/${layer.digest}`, { method: 'DELETE' }],
  ]
}

async function expectRefused(
  at: PushScene & { location: string },
  headers: Record<string, string>,
): Promise<void> {
  for (const [path, sending] of writesTo(at.location)) {
    const answer = await at.ask(path, { ...sending, headers: { ...sending.headers, ...headers } })
    const told = [JSON.stringify(headers), path, sending.method]
    expect([...told, ...at.failure(answer)]).toEqual([...told, 403, 'DENIED'])
    expect(errorsOf(answer)[0]?.message).toMatch(/localhost|loopback/)
  }
}

/** Nothing of what was refused was done. */
async function expectUntouched(at: PushScene & { location: string }): Promise<void> {
  expect(await at.rangeOf(at.location)).toBe('0-0')
  expect(await at.sessions()).toHaveLength(1)
  const statusOf = async (path: string) => (await at.ask(`/v2/${path}`, { method: 'HEAD' })).status
  for (const path of ['manifests/v1', `manifests/${app.digest}`, `blobs/${layer.digest}`])
    expect(await statusOf(`${name}/${path}`)).toBe(200)
  for (const path of [`${name}/manifests/v2`, `${name}/blobs/${digest}`, `local/thief/blobs/${layer.digest}`])
    expect(await statusOf(path)).toBe(404)
}

async function expectPullable(at: PushScene, headers: Record<string, string>): Promise<void> {
  const paths = ['manifests/v1', `manifests/${app.digest}`, `blobs/${layer.digest}`, 'tags/list']
  for (const path of [...paths, `referrers/${app.digest}`])
    for (const method of ['GET', 'HEAD'])
      expect([path, (await at.ask(`/v2/${name}/${path}`, { method, headers })).status]).toEqual([path, 200])
  expect((await at.ask('/v2/', { headers })).status).toBe(200)
}

describe('a write', () => {
  test('to a host that is not loopback is refused with 403 that says what to do, and pulls stay open', async () => {
    const hosts = [
      'registry.corp.example',
      'registry.corp.example:8080',
      'localhost.evil.example',
      '127.0.0.1.nip.io',
      'localhost@evil.example',
      'evil.example:127',
      '0.0.0.0',
      '10.0.0.1:8080',
      '[2001:db8::1]:8080',
      '2130706433',
      '0x7f.0.0.1',
      '0177.0.0.1',
      '127.1',
    ]
    await using at = await pushed()
    for (const host of hosts) {
      await expectRefused(at, { host })
      await expectPullable(at, { host })
    }
    await expectUntouched(at)
  })

  test.each([
    ['X-Forwarded-For', '127.0.0.1'],
    ['X-Forwarded-Host', 'localhost'],
    ['X-Forwarded-Proto', 'https'],
    ['X-Real-IP', '127.0.0.1'],
    ['Forwarded', 'for=127.0.0.1'],
    ['Via', '1.1 proxy'],
    ['CDN-Loop', 'cdn.example'],
    ['CF-Connecting-IP', '192.0.2.1'],
    ['True-Client-IP', '192.0.2.1'],
    ['X-Client-IP', '192.0.2.1'],
    ['X-Cluster-Client-IP', '192.0.2.1'],
    ['X-Original-Forwarded-For', '192.0.2.1'],
    ['X-Forwarded-For', ''],
    ['Origin', 'https://evil.example'],
    ['Origin', 'http://localhost:8080'],
    ['Origin', 'null'],
  ])('that came through somebody (%s: %s) is refused with 403, and pulls stay open', async (header, value) => {
    await using at = await pushed()
    await expectRefused(at, { [header]: value })
    await expectUntouched(at)
    await expectPullable(at, { [header]: value })
  })

  test.each([
    'localhost',
    'LOCALHOST:8080',
    '127.0.0.1',
    '127.0.0.1:80',
    '127.8.9.10',
    '[::1]',
    '[::1]:8080',
  ])('to the host %s is taken', async host => {
    await using at = await pushed()
    for (const [path, sending] of writesTo(at.location)) {
      const answer = await at.ask(path, { ...sending, headers: { ...sending.headers, host } })
      expect([path, answer.status]).not.toEqual([path, 403])
    }
    for (const path of ['manifests/v1', `blobs/${layer.digest}`])
      expect((await at.ask(`/v2/${name}/${path}`, { headers: { host } })).status).toBe(404)
  })
})

test.each([
  ['in its target', 'http://evil.example', '1.1', 'Host: localhost'],
  ['by a second Host', '', '1.1', 'Host: localhost\r\nHost: evil.example'],
  ['by a second Host that comes first', '', '1.1', 'Host: evil.example\r\nHost: localhost'],
  ['by no Host, in HTTP/1.0', '', '1.0', 'Accept: */*'],
  ['and speaks HTTP/1.0, as a proxy may that tells nothing else', '', '1.0', 'Host: localhost'],
])('a write that names another host %s is refused', async (_, authority, version, host) => {
  await using at = await pushed()
  const head = `DELETE ${authority}/v2/${name}/manifests/v1 HTTP/${version}\r\n${host}\r\nConnection: close\r\n\r\n`
  expect(await sendRaw(at.layover.url, head)).toMatch(/^HTTP\/1\.1 403 /)
  await expectUntouched(at)
})

test('a write that names this machine in its target too is taken', async () => {
  await using at = await pushed()
  const head = `DELETE ${at.layover.url}/v2/${name}/manifests/v1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`
  expect(await sendRaw(at.layover.url, head)).toMatch(/^HTTP\/1\.1 202 /)
})

test('a refused upload is not received: its client is told before it sends', async () => {
  await using at = await pushed()
  const outgoing = at.begin(`/v2/${name}/blobs/uploads/?digest=${digest}`, {
    method: 'POST',
    headers: { host: 'evil.example', expect: '100-continue', 'content-length': '1000000000' },
  })
  const answer = await outgoing.continued()
  expect(answer === 'continue' || answer.status).toBe(403)
  outgoing.cut()
})

test('writes to proxied names are 405 with Allow, whoever asks', async () => {
  await using at = await scene({ upstreams: net => [plain(net)] })
  const remote = {
    host: 'registry.corp.example',
    'x-forwarded-for': '192.0.2.1',
    origin: 'https://evil.example',
  }
  for (const headers of [{}, remote])
    for (const [path, sending] of writesTo(`/v2/${name}/blobs/uploads/${crypto.randomUUID()}`)) {
      const proxied = path.replace(/^\/v2\/local/, '/v2/proxied')
      const answer = await send(at.layover.url, proxied, {
        ...sending,
        headers: { ...sending.headers, ...headers },
      })
      expect([proxied, answer.status, answer.headers.allow]).toEqual([proxied, 405, 'GET, HEAD'])
      expect(errorsOf(answer).map(({ code }) => code)).toEqual(['UNSUPPORTED'])
      expect(answer.headers['cache-status']).toBeUndefined()
    }
  expect(at.net.requests()).toEqual([])
})
