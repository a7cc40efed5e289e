/** Several replicas in this process, each with a store of its own, with one Redis between them and one internet in front. */
import { expect, vi } from 'vitest'
import { openRedis, type Redis } from '../../../src/cluster/redis/redis.ts'
import type { UpstreamConfig } from '../../../src/config/config.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import type { StoredBlob } from '../../fake/bytes.ts'
import { caCertificate, serverCertificate } from '../../fake/certificates.ts'
import { type Internet, startInternet } from '../../fake/internet.ts'
import { freePort } from '../../support/free-port.ts'
import { startTestLayover, type TestLayover } from '../../support/layover.ts'
import { RedisServer } from '../../support/redis.ts'
import type { S3Service } from '../../support/s3.ts'
import { plain } from '../scene.ts'

export const secret = 'replicas of a test know each other by this'

export interface ReplicasSetting {
  readonly count?: number
  readonly upstreams?: (net: Internet) => readonly UpstreamConfig[]
  /** Of the replica in this place. */
  readonly secretOf?: (place: number) => string
  /** They speak TLS with each other. */
  readonly tls?: boolean
  readonly limits?: Parameters<typeof startTestLayover>[0]['limits']
  /** The store that they share; undefined: none. */
  readonly service?: S3Service
}

export interface Replicas extends AsyncDisposable {
  readonly net: Internet
  readonly redis: RedisServer
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
  const redis = resources.use(await RedisServer.start())
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
  const {
    upstreams = (from: Internet) => [plain(from)],
    secretOf = () => secret,
    tls = false,
    limits,
    service,
  } = setting
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
  const layover = await onFreePort(port =>
    startTestLayover({
      clock: systemClock,
      lookup: net.lookup,
      redis,
      listen: [{ host: '127.0.0.1', port, role: 'registry', tls: tls ? serverCertificate : undefined }],
      replica: {
        advertise: tls ? `https://tls.test:${port}` : `http://127.0.0.1:${port}`,
        secret: secretOf(place),
        ca: tls ? caCertificate : undefined,
        owner: undefined,
      },
      upstreams: upstreams(net),
      ...(limits ? { limits } : {}),
      ...(service ? { service } : {}),
    }),
  )
  resources.use(layover)
  return { layover, redis, url: layover.url }
}

/** A port that was free may be somebody's a moment later. */
async function onFreePort<T>(start: (port: number) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await start(await freePort())
    } catch (error) {
      if (tries === 5 || (error as { code?: string }).code !== 'EADDRINUSE') throw error
    }
  }
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
