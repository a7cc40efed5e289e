/** What replicas share is killed, hangs and comes back while clients pull: what is cached is served all the while. */
import { Agent } from 'node:http'
import { describe, expect, vi } from 'vitest'
import { testWith } from '../../e2e/tools.ts'
import { seededBlob } from '../../fake/bytes.ts'
import { artifactOf } from '../../fake/content.ts'
import { pushBundle } from '../../http/push-client.ts'
import { download, expectWhole } from '../download.ts'
import { send } from '../push/crash-send.ts'
import { repository } from '../scene.ts'
import { Load, wrongWith } from './load.ts'
import { backends, replicasOfSuite, type Scene } from './scene.ts'

const local = 'local/team/app'
const clients = 8
/** Requests: enough for every client to meet what has happened. */
const aWhile = 200
const healing = { timeout: 40_000, interval: 500 }
/** Healed at the end of each test. */
const replicas = replicasOfSuite()

/** Tags, manifests and blobs that every replica has. */
async function warm(at: Scene): Promise<readonly { path: string; digest: string }[]> {
  const bundle = artifactOf([seededBlob('small', 3_000), seededBlob('large', 600_000)])
  at.put('v1', bundle)
  const cached = [
    { path: `${repository}/manifests/v1`, digest: bundle.digest },
    { path: `${repository}/manifests/${bundle.digest}`, digest: bundle.digest },
    ...bundle.blobs.map(({ digest }) => ({ path: `${repository}/blobs/${digest}`, digest })),
  ]
  for (const place of at.replicas.all.keys()) {
    for (const { path } of cached)
      await vi.waitFor(async () => {
        const { headers } = await send(at.clients.at(place, path))
        expect(headers['cache-status']).toContain('hit')
      }, healing)
  }
  return cached
}

/** Pulls of what is cached, over kept connections, at every replica. */
function pulling(at: Scene, cached: readonly { path: string; digest: string }[]) {
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  const load = new Load(clients, turn => {
    const { path, digest } = cached[turn % cached.length] ?? { path: '', digest: '' }
    return wrongWith(at.clients.url(path), digest, { agent })
  })
  return {
    load,
    async [Symbol.asyncDispose]() {
      await load.stop()
      agent.destroy()
    },
  }
}

/** Three replicas make one request of three again: what they share is there. */
async function expectHealed(at: Scene): Promise<void> {
  let tries = 0
  await vi.waitFor(async () => {
    tries += 1
    const blob = at.blob(`healed ${tries}`, 300_000)
    const path = `${repository}/blobs/${blob.digest}`
    const found = await Promise.all([0, 1, 2].map(place => download(at.clients.at(place, path))))
    for (const each of found) expectWhole(each, blob)
    expect(at.gets(blob)).toHaveLength(1)
  }, healing)
}

describe('Redis', () => {
  testWith(backends, 'hangs, is killed and comes back empty: no pull of what is cached fails', async () => {
    const at = replicas()
    const cached = await warm(at)
    await using pulls = pulling(at, cached)
    await pulls.load.more(aWhile)
    at.redis.pause()
    await pulls.load.more(aWhile)
    at.redis.resume()
    await pulls.load.more(aWhile)
    await at.redis.kill()
    await pulls.load.more(aWhile)
    await at.redis.begin()
    await pulls.load.more(aWhile)
    expect(await pulls.load.stop()).toEqual([])
    await expectHealed(at)
  })

  testWith(backends, 'is cut off from one replica and slow for another: all of them answer', async () => {
    const at = replicas()
    const cached = await warm(at)
    const [cut, slow] = [at.replicas.at(0).network.toRedis, at.replicas.at(1).network.toRedis]
    await using pulls = pulling(at, cached)
    await cut?.refuse()
    slow?.delay(400)
    await pulls.load.more(aWhile)
    await cut?.pass()
    cut?.stall()
    await pulls.load.more(aWhile)
    await cut?.pass()
    await slow?.pass()
    expect(await pulls.load.stop()).toEqual([])
    await expectHealed(at)
  })
})

describe('the S3 server', () => {
  testWith(backends, 'is gone: what is cached is served, what is not comes from upstream', async () => {
    const at = replicas()
    const cached = await warm(at)
    await using pulls = pulling(at, cached)
    await at.s3?.stop()
    await pulls.load.more(aWhile)
    const blob = at.blob('cold', 200_000)
    for (const place of [0, 1, 2])
      expectWhole(await download(at.clients.at(place, `${repository}/blobs/${blob.digest}`)), blob)
    expect(await pulls.load.stop()).toEqual([])
    await at.s3?.restart()
  })

  testWith(backends, 'is gone: a push is refused for now, and succeeds when it is back', async () => {
    const at = replicas()
    const bundle = artifactOf([seededBlob('pushed', 5_000)])
    const [first] = at.replicas.urls
    const push = () => pushBundle({ url: first ?? '', name: local }, bundle, 'v1')
    await vi.waitFor(push, healing)
    await at.s3?.stop()
    const { body, mediaType } = artifactOf([seededBlob('later', 5_000)]).root
    const headers = { 'content-type': mediaType }
    const refused = await send(at.clients.at(0, `${local}/manifests/v2`), { method: 'PUT', headers, body })
    expect(refused.status).toBe(503)
    expect(refused.headers['retry-after']).toMatch(/^\d+$/)
    await at.s3?.restart()
    await vi.waitFor(push, healing)
    for (const place of [0, 1, 2])
      expect(await wrongWith(at.clients.at(place, `${local}/manifests/v1`), bundle.digest)).toBe(undefined)
  })
})
