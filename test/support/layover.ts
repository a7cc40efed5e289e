/** Layover in this process, in front of the stand-in internet. */
import { type Layover, startLayover } from '../../src/cli/layover.ts'
import type { Redis } from '../../src/cluster/redis/redis.ts'
import type { Config, S3Config, UpstreamConfig } from '../../src/config/config.ts'
import type { BoundAddress, ListenAddress } from '../../src/edge/listener.ts'
import { createLogger } from '../../src/observe/log.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import type { Lookup } from '../../src/runtime/lookup.ts'
import { type LocalSetting, local } from './local.ts'
import { type S3Service, startS3 } from './s3.ts'
import { serversHere, workersOfSuite } from './servers.ts'
import { tempDir } from './temp-dir.ts'

type Overrides<T> = {
  [K in keyof T]?: T[K] extends readonly unknown[] | undefined | string ? T[K] : Overrides<T[K]>
}

export interface UpstreamSetting {
  registry: string
  url?: string
  options?: Partial<UpstreamConfig['options']>
  policy?: Partial<UpstreamConfig['policy']>
  keeping?: Partial<UpstreamConfig['keeping']>
  aliases?: readonly string[]
  isDefault?: boolean
}

const minute = 60_000

/** An upstream with the defaults of upstreams.yaml, allowed to follow realms and redirects on loopback. */
export function upstream({
  registry,
  url,
  options,
  policy,
  keeping,
  aliases = [],
  isDefault = false,
}: UpstreamSetting): UpstreamConfig {
  return {
    options: {
      registry,
      urls: [{ url: url ?? `https://${registry}`, credentials: undefined }],
      access: 'public',
      allow: [],
      deny: [],
      authRealms: [],
      allowPrivate: ['127.0.0.0/8'],
      timeouts: { connectMs: 5_000, headersMs: 25_000, revalidateMs: 3_000, idleMs: 60_000 },
      concurrency: { fills: 32, bandwidth: 0 },
      http2: false,
      tls: {},
      proxy: undefined,
      ...options,
    },
    policy: {
      tags: [{ match: '*', freshMs: 5 * minute }],
      listingsFreshMs: minute,
      maxStaleMs: 7 * 24 * 60 * minute,
      onNotFound: { serveForMs: 60 * minute },
      rateLimited: 'unavailable',
      notFoundForMs: 10_000,
      passthrough: { verdictMs: minute, outageMs: 10 * minute },
      ...policy,
    },
    keeping: { maxBytes: Number.POSITIVE_INFINITY, unusedMs: Number.POSITIVE_INFINITY, pins: [], ...keeping },
    aliases,
    isDefault,
    shareWithEveryone: false,
  }
}

export interface TestLayover extends AsyncDisposable {
  /** Of the first address that it listens on. */
  readonly url: string
  readonly addresses: readonly BoundAddress[]
  readonly storePath: string
  /** Where what was pushed lies, and the records of it. */
  readonly truthPath: string
  readonly admin: Layover['admin']
  readonly lines: readonly Record<string, unknown>[]
  readonly config: Config
  reload(config: Omit<Config, 'local'> & { local: readonly LocalSetting[] }): Promise<void>
  /** Stops the process's parts and starts them anew on the same store. */
  restart(): Promise<void>
  stop(): Promise<void>
}

interface Setting
  extends Overrides<
    Omit<
      Config,
      'upstreams' | 'local' | 'listen' | 'hosts' | 'admin' | 'index' | 'replica' | 'access' | 'policies'
    >
  > {
  index?: Config['index']
  admin?: Config['admin']
  replica?: Config['replica']
  access?: Config['access']
  policies?: Config['policies']
  upstreams: readonly UpstreamConfig[]
  local?: readonly LocalSetting[]
  listen?: readonly ListenAddress[]
  hosts?: readonly string[]
  clock: Clock
  lookup: Lookup
  /** Of the index, if it is there. */
  redis?: Redis
  /** As the process reads its file again. */
  reload?: () => Promise<Error | undefined>
  /** A bucket that the store is over. */
  service?: S3Service
  s3?: Partial<S3Config>
}

/** The suites run over this kind of store. */
export const storeOfSuite = process.env.LAYOVER_STORE ?? 'disk'

export async function startTestLayover(setting: Setting): Promise<TestLayover> {
  const dir = await tempDir()
  const service = setting.service ?? (storeOfSuite === 's3' ? await startS3() : undefined)
  const lines: Record<string, unknown>[] = []
  const log = createLogger('debug', {
    write: text => {
      for (const line of text.split('\n').filter(Boolean))
        lines.push(JSON.parse(line) as Record<string, unknown>)
    },
  })
  const config: Config = {
    listen: setting.listen ?? [{ host: '127.0.0.1', port: 0, role: 'registry', tls: undefined }],
    hosts: setting.hosts ?? [],
    publicUrl: setting.publicUrl,
    trustedProxies: setting.trustedProxies ?? [],
    store: {
      path: setting.store?.path ?? dir.path,
      s3: service && { ...service.options(), cached: true, patienceMs: 10_000, ...setting.s3 },
    },
    admin: setting.admin,
    index: setting.index,
    collection: { everyMs: 0, graceMs: 24 * 60 * minute, ...setting.collection },
    capacity: {
      maxBytes: setting.capacity?.maxBytes ?? Number.POSITIVE_INFINITY,
      minFree: { bytes: 0, share: 0, ...setting.capacity?.minFree },
    },
    replica: setting.replica,
    access: setting.access,
    policies: setting.policies ?? { upstreams: {}, namespaces: {} },
    scrub: { everyMs: 0, bytesPerSecond: 0, ...setting.scrub },
    limits: {
      manifest: 4 * 1024 * 1024,
      connections: 10_000,
      connectionsPerClient: 0,
      drainMs: 1_000,
      partialMs: 24 * 60 * minute,
      stalledMs: 2 * minute,
      slowest: 0,
      headersMs: 65_000,
      pushMemory: 64 * 1024 * 1024,
      upload: 100 * 2 ** 30,
      uploadIdleMs: 24 * 60 * minute,
      uploads: 10_000,
      memory: 64 * 1024 * 1024,
      page: 10_000,
      ...setting.limits,
    },
    upstreams: setting.upstreams,
    local: (setting.local ?? [{ name: 'local', match: 'local/**' }]).map(local),
  }
  const { clock, lookup } = setting
  const workers =
    workersOfSuite > 1 ? { count: workersOfSuite, spawn: serversHere({ log, clock }) } : undefined
  const { reload, redis } = setting
  const start = () => startLayover(config, { log, clock, lookup, redis, workers, reload })
  let running: Layover = await start()
  const stop = () => running.stop()
  return {
    get url() {
      const [first] = running.addresses
      return `${first?.tls ? 'https' : 'http'}://127.0.0.1:${first?.port}`
    },
    get addresses() {
      return running.addresses
    },
    storePath: config.store.path,
    truthPath: service?.path('') ?? config.store.path,
    get admin() {
      return running.admin
    },
    lines,
    config,
    reload: next => running.reload({ ...next, local: next.local.map(local) }),
    async restart() {
      await stop()
      running = await start()
    },
    stop,
    async [Symbol.asyncDispose]() {
      await stop()
      if (!setting.service) await service?.[Symbol.asyncDispose]()
      await dir[Symbol.asyncDispose]()
    },
  }
}
