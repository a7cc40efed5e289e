/** Three replicas in front of one registry, with Redis and an S3 server that they share, and clients that know all of them. */
import { join } from 'node:path'
import { afterAll, beforeAll, onTestFailed } from 'vitest'
import { type StoredBlob, seededBlob } from '../../fake/bytes.ts'
import type { Bundle } from '../../fake/content.ts'
import { startInternet } from '../../fake/internet.ts'
import { Balancer } from '../../support/balancer.ts'
import { RedisServer } from '../../support/redis.ts'
import { Replicas, type ReplicasOptions } from '../../support/replicas.ts'
import { startS3 } from '../../support/s3.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { repository } from '../scene.ts'

/** Programs without which these tests are skipped. */
export const backends = ['redis-server', 'versitygw']

export interface ReplicasScene {
  /** Default: Redis and S3. */
  readonly shares?: 'redis and s3' | 'redis' | 'nothing'
  readonly count?: number
  readonly isNearRedis?: boolean
  readonly settings?: ReplicasOptions['settings']
}

export type Scene = Awaited<ReturnType<typeof openReplicas>>

/** For one test. */
export async function startReplicas(setting: ReplicasScene = {}): Promise<Scene> {
  const scene = await openReplicas(setting)
  onTestFailed(() => console.error(scene.replicas.log()))
  return scene
}

/** For the tests of a suite, which find them as the one before left them. @param ready what the tests begin with */
export function replicasOfSuite(
  setting: ReplicasScene = {},
  ready: (scene: Scene) => Promise<void> = async () => {},
): () => Scene {
  let scene: Scene | undefined
  beforeAll(async () => {
    scene = await openReplicas(setting)
    await ready(scene)
  })
  afterAll(() => scene?.[Symbol.asyncDispose]())
  return () => {
    if (!scene) throw new Error('the replicas were not started')
    const { replicas } = scene
    onTestFailed(() => console.error(replicas.log()))
    return scene
  }
}

async function openReplicas({
  shares = 'redis and s3',
  count = 3,
  isNearRedis = false,
  settings = {},
}: ReplicasScene = {}) {
  await using resources = new AsyncDisposableStack()
  const dir = resources.use(await tempDir())
  const net = resources.use(await startInternet())
  const redis = resources.use(await RedisServer.start())
  const s3 = shares === 'redis and s3' ? resources.use(await startS3()) : undefined
  const replicas = resources.use(
    await Replicas.start({
      root: dir.path,
      count,
      upstreamUrl: net.url('plain.test').replace('plain.test', '127.0.0.1'),
      ...(shares === 'nothing' ? {} : { index: redis.url }),
      ...(shares === 'redis' ? { owner: 0 } : {}),
      ...(s3 === undefined ? {} : { s3 }),
      isNearRedis,
      settings,
    }),
  )
  const balancer = resources.use(await Balancer.start(replicas.urls))
  const running = resources.move()
  const clients = new Clients(replicas)
  return {
    net,
    redis,
    s3,
    replicas,
    balancer,
    clients,
    root: dir.path,
    /** A blob upstream, of which nothing is known here. */
    blob(seed: string, size: number): StoredBlob {
      const blob = seededBlob(seed, size)
      net.plain.putBlob(repository, blob)
      return blob
    },
    put: (tag: string, bundle: Bundle) => net.plain.put(repository, tag, bundle),
    /** GETs of this blob that reached upstream. */
    gets: ({ digest }: { digest: string }) =>
      net.requests({ method: 'GET', path: new RegExp(digest.slice(digest.indexOf(':') + 1)) }),
    stored: (place: number, { digest }: { digest: string }) => {
      const hex = digest.slice(digest.indexOf(':') + 1)
      return join(replicas.at(place).store, 'cached', 'sha256', hex.slice(0, 2), hex)
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

/** Paths at the replicas in turn. */
class Clients {
  readonly #replicas: Replicas
  #turns = 0

  constructor(replicas: Replicas) {
    this.#replicas = replicas
  }

  /** At the next replica. */
  url(path: string): string {
    const { urls } = this.#replicas
    this.#turns += 1
    return `${urls[this.#turns % urls.length]}/v2/${path}`
  }

  at(place: number, path: string): string {
    return `${this.#replicas.at(place).url}/v2/${path}`
  }
}
