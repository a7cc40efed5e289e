/** Several replicas in this process, each with a store of its own, with one Redis between them and one internet in front. */
import { expect, vi } from 'vitest'
import { openRedis, type Redis } from '../../../src/cluster/redis.ts'
import type { UpstreamConfig } from '../../../src/config/config.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import type { StoredBlob } from '../../fake/bytes.ts'
import { type Internet, startInternet } from '../../fake/internet.ts'
import { freePort } from '../../support/free-port.ts'
import { startTestLayover, type TestLayover } from '../../support/layover.ts'
import { type Backend, startRedis } from '../../support/redis-server.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { plain } from '../scene.ts'

export const secret = 'replicas of a test know each other by this'

export interface ReplicasSetting {
  readonly count?: number
  readonly upstreams?: (net: Internet) => readonly UpstreamConfig[]
  /** Of the replica in this place. */
  readonly secretOf?: (place: number) => string
  readonly limits?: Parameters<typeof startTestLayover>[0]['limits']
}

export interface Replicas extends AsyncDisposable {
  readonly net: Internet
  readonly redis: Backend
  readonly all: readonly Replica[]
  at(place: number): Replica
  /** Bytes of the blob that upstream sent. */
  sent(blob: StoredBlob): number
  /** GETs of the blob. */
  gets(blob: StoredBlob): number
}

export interface Replica {
  readonly layover: TestLayover
  readonly redis: Redis
  readonly url: string
}

export async function startReplicas(setting: ReplicasSetting = {}): Promise<Replicas> {
  const { count = 3 } = setting
  await using resources = new AsyncDisposableStack()
  const dir = resources.use(await tempDir())
  const redis = resources.use(await startRedis(dir.path))
  const net = resources.use(await startInternet({ clock: systemClock }))
  const all: Replica[] = []
  for (let place = 0; place < count; place += 1)
    all.push(await startReplica({ resources, net, place, url: redis.url, setting }))
  const owned = resources.move()
  const requests = (blob: StoredBlob) =>
    net.requests({ method: 'GET' }).filter(({ path }) => path.endsWith(blob.digest))
  return {
    net,
    redis,
    all,
    at(place) {
      const found = all[place]
      if (!found) throw new Error(`there is no replica ${place}`)
      return found
    },
    sent: blob => requests(blob).reduce((sum, { bodyBytes }) => sum + bodyBytes, 0),
    gets: blob => requests(blob).length,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

interface Starting {
  readonly resources: AsyncDisposableStack
  readonly net: Internet
  readonly place: number
  /** Of Redis. */
  readonly url: string
  readonly setting: ReplicasSetting
}

async function startReplica({ resources, net, place, url, setting }: Starting): Promise<Replica> {
  const { upstreams = (from: Internet) => [plain(from)], secretOf = () => secret, limits } = setting
  const port = await freePort()
  const advertise = `http://127.0.0.1:${port}`
  const { hostname: host, port: redisPort } = new URL(url)
  const server = { host, port: Number(redisPort) }
  const redis = await openRedis(
    {
      address: {
        kind: 'single',
        server,
        database: 0,
        isTls: false,
        username: undefined,
        password: undefined,
      },
      prefix: 'test:',
    },
    { log: createLogger('silent'), clock: systemClock },
  )
  resources.defer(() => redis.close())
  const layover = await startTestLayover({
    clock: systemClock,
    lookup: net.lookup,
    redis,
    listen: [{ host: '127.0.0.1', port, role: 'registry', tls: undefined }],
    replica: { advertise, secret: secretOf(place), ca: undefined, owner: undefined },
    upstreams: upstreams(net),
    ...(limits ? { limits } : {}),
  })
  resources.use(layover)
  return { layover, redis, url: layover.url }
}

/** Resolves when each knows of all others. */
export async function acquainted({ all }: Replicas, others = all.length - 1): Promise<void> {
  await vi.waitFor(
    () => {
      for (const { layover } of all) {
        const told = layover.lines.findLast(({ msg }) => msg === 'the other replicas')
        expect(told?.replicas).toHaveLength(others)
      }
    },
    { timeout: 20_000, interval: 20 },
  )
}
