/** Layover with its index in a real Redis, an image of an upstream and two of its own; and what must hold whatever Redis does. */
import { expect, vi } from 'vitest'
import { parseRedisAddress } from '../../../src/cluster/redis/address.ts'
import { openRedis, type Redis, type RedisOptions } from '../../../src/cluster/redis/redis.ts'
import { createLogger, type Logger } from '../../../src/observe/log.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { image } from '../../fake/content.ts'
import { pushBundle, pushManifest } from '../../http/push-client.ts'
import { layerOf, plain, scene } from '../../http/scene.ts'

const pulled = image('pulled', { layers: [3_000] })
const images = [image('one', { layers: [3_000] }), image('two', { layers: [3_000] })] as const
/** A Sentinel that had to wait for the machine trusts its clock for half a minute no more. */
const healMs = 50_000
/** Nothing is answered from memory, so that the index is asked each time. */
const limits = { memory: 2 }

/** Connected where the URL says, or given up to come later. */
export async function connected(
  url: string,
  more: Partial<RedisOptions> = {},
  log = createLogger('silent'),
): Promise<Redis> {
  const options = { address: parseRedisAddress(url), prefix: 'test:', ...more }
  return openRedis(options, { log, clock: systemClock })
}

export type RedisScene = Awaited<ReturnType<typeof redisScene>>

interface RedisSetting {
  /** Whether it can be used. */
  readonly isUp?: boolean
  /** Besides what stands in the URL. */
  readonly more?: Partial<RedisOptions>
  /** Of the connection. */
  readonly log?: Logger
}

export async function redisScene(url: string, { isUp = true, more, log }: RedisSetting = {}) {
  const redis = await connected(url, more, log)
  await vi.waitFor(() => expect(redis.up).toBe(isUp), 20_000)
  const address = parseRedisAddress(url)
  const index = { address, prefix: 'test:' }
  const at = await scene({ upstreams: net => [plain(net)], realTime: true, limits, redis, index })
  const local = { url: at.layover.url, name: 'local/app' }
  at.net.plain.put('app', 'v1', pulled)
  await at.warm('/v2/app/manifests/v1', `/v2/app/blobs/${layerOf(pulled).digest}`)
  for (const each of images) await pushBundle(local, each)
  let moves = 0
  const tags: string[] = []
  const current = () => images[moves % 2] ?? images[0]
  const put = async (reference: string) => {
    const { status } = await pushManifest(local, current().root, reference)
    expect([reference, status]).toEqual([reference, 201])
  }
  const get = async (path: string) => {
    const { status, body } = await at.ask(`/v2/${path}`)
    return [path, status, body.toString('latin1')]
  }
  const right = (path: string, body: Buffer) => [path, 200, body.toString('latin1')]
  const told = {
    async cached() {
      for (const path of ['app/manifests/v1', `app/manifests/${pulled.digest}`])
        expect(await get(path)).toEqual(right(path, pulled.root.body))
      const { status, body } = await at.ask(`/v2/app/blobs/${layerOf(pulled).digest}`)
      expect([status, body.length]).toEqual([200, 3_000])
      expect(at.net.requests().filter(({ path }) => path.includes('/blobs/'))).toEqual([])
    },
    async local() {
      expect(await get('local/app/manifests/moving')).toEqual(
        right('local/app/manifests/moving', current().root.body),
      )
      expect((await at.ask('/v2/local/app/manifests/deleted')).status).toBe(404)
    },
  }
  await put('moving')
  return {
    ...at,
    redis,
    told,
    /** A tag moved, one that comes and one that goes: read at once by who asks. */
    async change() {
      moves += 1
      await put('moving')
      await told.local()
      const tag = `v${moves + 10}`
      await put(tag)
      tags.push(tag)
      await put('deleted')
      const { status } = await at.ask('/v2/local/app/manifests/deleted', { method: 'DELETE' })
      expect(status).toBe(202)
      await told.local()
    },
    /** Everything is told, and Redis takes part again. */
    async healed() {
      await vi.waitFor(
        async () => {
          const listed = await at.ask('/v2/local/app/tags/list')
          expect([listed.status, JSON.parse(listed.body.toString())]).toEqual([
            200,
            { name: 'local/app', tags: ['moving', ...tags] },
          ])
          const catalog = await at.ask('/v2/_catalog')
          expect([catalog.status, JSON.parse(catalog.body.toString())]).toEqual([
            200,
            { repositories: ['local/app', 'plain.example/app'] },
          ])
          const metrics = await at.ask('/metrics')
          expect(metrics.body.toString()).toContain('layover_index_up 1')
        },
        { timeout: healMs, interval: 50 },
      )
      await told.cached()
      await told.local()
    },
    async [Symbol.asyncDispose]() {
      await at[Symbol.asyncDispose]()
      await redis.close()
    },
  }
}
