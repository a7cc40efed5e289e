/** Behind proxies: whose requests they are, in the log and when it comes to writing. */
import { describe, expect, test, vi } from 'vitest'
import { image } from '../fake/content.ts'
import { errorOf, plain, type Scene, type SceneSetting, scene } from './scene.ts'

const app = image('app', { layers: [100] })
const manifest = '/v2/app/manifests/v1'
const fromFarAway = { 'x-forwarded-for': '1.1.1.1, 8.8.8.8' }

async function start(setting: SceneSetting = {}) {
  const at = await scene({ upstreams: net => [plain(net)], trustedProxies: ['127.0.0.0/8'], ...setting })
  at.net.plain.put('app', 'v1', app)
  return at
}

/** Whom the log names of all requests for the manifest. */
const clientsOf = ({ layover }: Scene) =>
  layover.lines.filter(({ path }) => path === manifest).map(({ client }) => client)

async function told(at: Scene, clients: readonly string[]) {
  await vi.waitFor(() => expect(clientsOf(at).slice(-clients.length)).toEqual(clients))
}

describe('a trusted proxy', () => {
  test('is taken at its word on who asks, of what is fetched, kept and asked again', async () => {
    await using at = await start()
    await at.ask(manifest, { headers: fromFarAway })
    await told(at, ['8.8.8.8'])
    await at.warm(manifest)
    const { headers } = await at.ask(manifest, { headers: { forwarded: 'for="[2001:db8::1]:80"' } })
    expect(headers['cache-status']).toBe('layover; hit')
    await told(at, ['2001:db8::1'])
  })

  test('passes on no pushes of this machine, whatever it says', async () => {
    await using at = await start()
    for (const headers of [
      {},
      fromFarAway,
      { 'x-forwarded-for': '127.0.0.1' },
      { forwarded: 'for=127.0.0.1' },
    ]) {
      const refused = await at.ask('/v2/local/app/blobs/uploads/', { method: 'POST', headers })
      expect([refused.status, errorOf(refused).message]).toEqual([
        403,
        expect.stringContaining('passed on by a proxy'),
      ])
    }
  })

  test('is one after a reload, and none any more after the next', async () => {
    await using at = await start({ trustedProxies: [] })
    await at.ask(manifest, { headers: fromFarAway })
    await told(at, ['127.0.0.1'])
    await at.layover.reload({ ...at.layover.config, trustedProxies: ['127.0.0.1/32'] })
    await at.ask(manifest, { headers: fromFarAway })
    await told(at, ['8.8.8.8'])
    await at.layover.reload({ ...at.layover.config, trustedProxies: [] })
    await at.ask(manifest, { headers: fromFarAway })
    await told(at, ['127.0.0.1'])
  })
})

test('who is no trusted proxy is the client itself, and writes for nobody else', async () => {
  await using at = await start({ trustedProxies: ['10.0.0.0/8'] })
  await at.ask(manifest, { headers: fromFarAway })
  await told(at, ['127.0.0.1'])
  const headers = { 'x-forwarded-for': '127.0.0.1' }
  const refused = await at.ask('/v2/local/app/blobs/uploads/', { method: 'POST', headers })
  expect(refused.status).toBe(403)
  expect((await at.ask('/v2/local/app/blobs/uploads/', { method: 'POST' })).status).toBe(202)
})
