/** Reloading the configuration, stopping in the middle of transfers, and going on from there. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { readContent } from '../fake/bytes.ts'
import { image } from '../fake/content.ts'
import { upstream } from '../support/layover.ts'
import { hub, layerOf, plain, type Scene, type SceneSetting, scene } from './scene.ts'

const MiB = 1024 * 1024
const app = image('app', { layers: [4 * MiB] })
const whole = readContent(layerOf(app).content)
const blob = `/v2/app/blobs/${layerOf(app).digest}`

describe('a reload', () => {
  const manifest = '/v2/library/app/manifests/v1'

  test('makes a new upstream usable and a removed one unknown', async () => {
    await using at = await scene({ upstreams: net => [hub(net), plain(net, { isDefault: false })] })
    at.net.ghcr.put('app', 'v1', app)
    at.net.plain.put('app', 'v1', app)
    const ghcr = '/v2/app/manifests/v1?ns=ghcr.io'
    const gone = '/v2/app/manifests/v1?ns=plain.example'
    expect((await at.ask(ghcr)).status).toBe(404)
    expect((await at.ask(gone)).status).toBe(200)
    const added = upstream({ registry: 'ghcr.io', url: at.net.url('ghcr.test') })
    await at.layover.reload({ ...at.layover.config, upstreams: [hub(at.net), added] })
    expect((await at.ask(ghcr)).status).toBe(200)
    expect((await at.ask(gone)).status).toBe(404)
  })

  test('lets an unchanged upstream keep its token', async () => {
    await using at = await scene()
    at.net.hub.put('library/app', 'v1', app)
    at.net.hub.put('library/app', 'v2', image('other'))
    await at.ask(manifest)
    const added = upstream({ registry: 'ghcr.io', url: at.net.url('ghcr.test') })
    await at.layover.reload({ ...at.layover.config, upstreams: [hub(at.net), added] })
    expect((await at.ask('/v2/library/app/manifests/v2')).status).toBe(200)
    expect(at.net.requests({ host: 'auth.hub.test' })).toHaveLength(1)
  })

  test('takes over a changed policy without touching what is cached', async () => {
    await using at = await scene()
    at.net.hub.put('library/app', 'v1', app)
    await at.warm(manifest)
    const policy = { tags: [{ match: '*', freshMs: 0 }] }
    await at.layover.reload({ ...at.layover.config, upstreams: [hub(at.net, { policy })] })
    expect((await at.ask(manifest)).headers['cache-status']).toContain('fwd=stale')
    expect(at.net.requests({ method: 'GET' })).toEqual([])
  })

  test('changes local namespaces, hosts and limits at once', async () => {
    await using at = await scene({ upstreams: net => [plain(net)] })
    at.net.plain.put('team/app', 'v1', app)
    const ask = () => at.ask('/v2/team/app/manifests/v1?ns=mirror.example')
    expect((await ask()).status).toBe(404)
    await at.layover.reload({ ...at.layover.config, hosts: ['mirror.example'] })
    expect((await ask()).status).toBe(200)
    const local = [{ name: 'team', match: 'team/**' }]
    await at.layover.reload({ ...at.layover.config, hosts: ['mirror.example'], local })
    expect((await ask()).status).toBe(404)
  })

  test('does not break transfers from an upstream that it changes or removes', async () => {
    await using at = await scene({ upstreams: net => [plain(net)] })
    at.net.plain.put('app', 'v1', app)
    const stall = at.net.fault({ host: 'plain.test', path: /blobs/, kind: 'stall', at: MiB })
    const reading = at.ask(blob)
    await stall.reached
    await at.layover.reload({ ...at.layover.config, upstreams: [] })
    stall.release()
    const { status, body } = await reading
    expect([status, body.equals(whole)]).toEqual([200, true])
  })
})

describe('a reload that changes an upstream', () => {
  const changed = (at: Scene) => ({
    ...at.layover.config,
    upstreams: [
      plain(at.net, { options: { timeouts: { connectMs: 1, headersMs: 2, revalidateMs: 3, idleMs: 4 } } }),
    ],
  })

  test('fails no pull that waits for a place among the fills', async () => {
    const concurrency = { fills: 1, bandwidth: 0 }
    await using at = await scene({ upstreams: net => [plain(net, { options: { concurrency } })] })
    const two = image('two', { layers: [MiB, MiB] })
    at.net.plain.put('app', 'v1', two)
    const stall = at.net.fault({ host: 'plain.test', path: /blobs/, kind: 'stall', at: 1, times: 1 })
    const first = at.ask(`/v2/app/blobs/${layerOf(two, 0).digest}`)
    await stall.reached
    const second = at.ask(`/v2/app/blobs/${layerOf(two, 1).digest}`)
    await vi.waitFor(async () =>
      expect((await at.ask('/metrics')).body.toString()).toMatch(/^layover_flights\{.*\} 2/m),
    )
    await at.layover.reload(changed(at))
    stall.release()
    expect([(await first).status, (await second).status]).toEqual([200, 200])
  })

  test('leaves nothing open that a stop would not end', async () => {
    await using at = await scene({ upstreams: net => [plain(net)], limits: { drainMs: 50 } })
    at.net.plain.put('app', 'v1', app)
    const stall = at.net.fault({ host: 'plain.test', path: /manifests/, kind: 'stall', at: 1 })
    const asking = at.ask('/v2/app/manifests/v1').catch(() => undefined)
    await stall.reached
    await at.layover.reload(changed(at))
    await at.layover.stop()
    await asking
    const [hung] = at.net.requests({ path: /manifests/ })
    await hung?.closed
    expect(hung?.outcome).toBe('cut')
  })
})

describe('a stop', () => {
  async function stalled(setting: SceneSetting) {
    const at = await scene({ upstreams: net => [plain(net)], ...setting })
    at.net.plain.put('app', 'v1', app)
    const stall = at.net.fault({ host: 'plain.test', path: /blobs/, kind: 'stall', at: 2 * MiB, times: 1 })
    const reply = await at.open(blob)
    await stall.reached
    return { ...at, stall, reply }
  }

  test('while nothing runs is over at once, twice over too', async () => {
    await using at = await scene()
    await Promise.all([at.layover.stop(), at.layover.stop()])
    await expect(at.ask('/v2/')).rejects.toThrow(/ECONN(?:REFUSED|RESET)/)
  })

  test('lets a running transfer end, and takes no new connections meanwhile', async () => {
    await using at = await stalled({ limits: { drainMs: 30_000 } })
    const stopping = at.layover.stop()
    await expect(at.ask('/v2/')).rejects.toThrow(/ECONN(?:REFUSED|RESET)/)
    at.stall.release()
    const chunks: Buffer[] = []
    for await (const chunk of at.reply) chunks.push(chunk as Buffer)
    expect(Buffer.concat(chunks).equals(whole)).toBe(true)
    await stopping
  })

  test('ends a transfer that takes too long, and the next start goes on from its bytes', async () => {
    await using at = await stalled({ limits: { drainMs: 50 } })
    const received = (async () => {
      for await (const _ of at.reply);
    })()
    await Promise.all([expect(received).rejects.toThrow('aborted'), at.layover.stop()])
    const left = await readdir(join(at.layover.storePath, 'partial'))
    expect(left.some(name => name.includes(layerOf(app).digest.replace(':', '-')))).toBe(true)
    at.stall.release()
    await at.layover.restart()
    at.net.clearRequests()
    const { body } = await at.ask(blob)
    expect(body.equals(whole)).toBe(true)
    const [request, ...others] = at.net.requests({ path: /blobs/ })
    expect(others).toEqual([])
    const from = Number(/^bytes=(\d+)-$/.exec(request?.headers.range ?? '')?.[1])
    expect(from).toBeGreaterThan(0)
    expect(request?.bodyBytes).toBe(4 * MiB - from)
    await vi.waitFor(async () => expect(await readdir(join(at.layover.storePath, 'partial'))).toEqual([]))
  })
})
