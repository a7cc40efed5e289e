/** Several replicas as processes of their own: what each reaches, it reaches by a link that can hang and break, and each can be killed, stopped, put to sleep and started again. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { allDone } from '../../src/stream/all-done.ts'
import { Daemon } from '../e2e/daemon.ts'
import { environment } from '../e2e/environment.ts'
import { freePort } from './free-port.ts'
import { NetworkLink } from './network-link.ts'
import type { S3Service } from './s3.ts'

const startTimeoutMs = 30_000
const lookAgainMs = 50
const logLines = 60
/** Another entry to try the same tests on, e.g. `dist/main.js` after a build. */
const main = resolve(process.env.LAYOVER_MAIN ?? join(import.meta.dirname, '../../src/main.ts'))
/** What the replicas show one another. */
const secret = 'the replicas of a test know one another by this secret'

/** What they share, as the configuration names it. */
export interface Shared {
  /** URL of Redis; undefined: each has an index of its own. */
  readonly index?: string
  /** `store.s3`; undefined: each has a store of its own. */
  readonly s3?: S3Service
}

export interface ReplicasOptions extends Shared {
  /** Folder for the folder of each. */
  readonly root: string
  /** Default: three. */
  readonly count?: number
  /** Of the registry that they mirror, under every name that is not local. */
  readonly upstreamUrl: string
  /** Place of the replica that owns local names, where they share no store. */
  readonly owner?: number
  /** Redis is reached without a link: while this process is busy, a link is later than Redis may be. */
  readonly isNearRedis?: boolean
  /** Other keys of the configuration, whole. */
  readonly settings?: Readonly<Record<string, unknown>>
}

export class Replicas implements AsyncDisposable {
  readonly all: readonly Replica[]
  readonly #resources: AsyncDisposableStack

  private constructor(all: readonly Replica[], resources: AsyncDisposableStack) {
    this.all = all
    this.#resources = resources
  }

  /** Resolves when they are ready, and know each other. */
  static async start({ count = 3, ...options }: ReplicasOptions): Promise<Replicas> {
    await using resources = new AsyncDisposableStack()
    const all: Replica[] = []
    for (let place = 0; place < count; place += 1)
      all.push(resources.use(await Replica.prepare(`replica-${place}`, options)))
    const owner = options.owner === undefined ? undefined : all[options.owner]?.advertised
    const replicas = new Replicas(all, resources.move())
    try {
      await allDone(all.map(replica => replica.start(owner)))
      if (options.index !== undefined) await allDone(all.map(replica => replica.knows(count - 1)))
    } catch (cause) {
      const log = replicas.log()
      await replicas[Symbol.asyncDispose]()
      throw new Error(`the replicas did not start:\n${log}`, { cause })
    }
    return replicas
  }

  get urls(): readonly string[] {
    return this.all.map(({ url }) => url)
  }

  at(place: number): Replica {
    const found = this.all[place]
    if (!found) throw new Error(`there is no replica ${place}`)
    return found
  }

  /** The last words of each, for a person who looks into a failed test. */
  log(): string {
    return this.all.map(replica => `${replica.name}:\n${replica.log()}`).join('\n\n')
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#resources.disposeAsync()
  }
}

/** Where a replica reaches others, and others reach it. */
interface Network {
  /** What the other replicas send to this one. */
  readonly fromOthers: NetworkLink
  /** Undefined: it has no Redis, or more than one server, or reaches it without a link. */
  readonly toRedis: NetworkLink | undefined
  readonly toS3: NetworkLink | undefined
}

export class Replica implements AsyncDisposable {
  readonly name: string
  /** For clients, past every link. */
  readonly url: string
  readonly home: string
  readonly network: Network
  readonly #options: Omit<ReplicasOptions, 'count'>
  /** Of every start, in order. */
  readonly #daemons: Daemon[] = []

  private constructor(
    { name, home, port }: { name: string; home: string; port: number },
    network: Network,
    options: Omit<ReplicasOptions, 'count'>,
  ) {
    this.name = name
    this.home = home
    this.url = `http://127.0.0.1:${port}`
    this.network = network
    this.#options = options
  }

  /** Everything but the process. */
  static async prepare(name: string, options: Omit<ReplicasOptions, 'count'>): Promise<Replica> {
    const home = join(options.root, name)
    await mkdir(home, { recursive: true })
    const port = await freePort()
    const network = {
      fromOthers: await NetworkLink.start(port),
      toRedis: options.isNearRedis ? undefined : await linkTo(options.index, 'redis:'),
      toS3: options.s3 && (await NetworkLink.start(options.s3.port)),
    }
    return new Replica({ name, home, port }, network, options)
  }

  /** The address by which the others know it. */
  get advertised(): string {
    return `http://127.0.0.1:${this.network.fromOthers.port}`
  }

  get store(): string {
    return join(this.home, 'data')
  }

  /** Its last words. */
  log(): string {
    return this.lines().slice(-logLines).join('\n')
  }

  /** What every process that was it has said. */
  lines(): readonly string[] {
    return this.#daemons.flatMap(({ lines }) => lines)
  }

  /**
   * On the store that it has; resolves when it is ready.
   * @param owner what the configuration names as the owner of local names; default: as it was told before
   */
  async start(owner?: string): Promise<void> {
    const file = join(this.home, 'upstreams.yaml')
    if (owner !== undefined || this.#daemons.length === 0)
      await writeFile(file, JSON.stringify(this.#configuration(owner), null, 2))
    const daemon = new Daemon(process.execPath, [main, 'serve', '--config', file], {
      cwd: this.home,
      env: environment(this.home),
    })
    this.#daemons.push(daemon)
    await untilReady(this.url, daemon)
  }

  /** Resolves when it has so many others. */
  async knows(others: number): Promise<void> {
    const bound = AbortSignal.timeout(startTimeoutMs)
    const known = () => this.lines().findLast(line => line.includes('"msg":"the other replicas"')) ?? '{}'
    while ((JSON.parse(known()) as { replicas?: readonly string[] }).replicas?.length !== others) {
      bound.throwIfAborted()
      await pause(lookAgainMs)
    }
  }

  /** As a power cut or the kernel's out-of-memory killer ends it. */
  async kill(): Promise<void> {
    const daemon = this.#daemons.at(-1)
    daemon?.send('SIGCONT') // one that sleeps does not die
    daemon?.send('SIGKILL')
    await daemon?.ended
  }

  /** As Kubernetes ends it: what is on its way is put away. Resolves with the exit code. */
  async stop(): Promise<number | null> {
    const daemon = this.#daemons.at(-1)
    daemon?.send('SIGTERM')
    return (await daemon?.ended) ?? null
  }

  /** It keeps its connections and its addresses, and does nothing. */
  sleep(): void {
    this.#daemons.at(-1)?.send('SIGSTOP')
  }

  wake(): void {
    this.#daemons.at(-1)?.send('SIGCONT')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    const { fromOthers, toRedis, toS3 } = this.network
    for (const link of [fromOthers, toRedis, toS3]) await link?.[Symbol.asyncDispose]()
  }

  #configuration(owner: string | undefined) {
    const { index, s3, upstreamUrl, settings } = this.#options
    const { toRedis, toS3 } = this.network
    const shares = index !== undefined || s3 !== undefined
    return {
      listen: new URL(this.url).host,
      admin: { listen: 'off' },
      store: {
        path: './data',
        minFree: 0,
        ...(s3 === undefined ? {} : { s3: settingOf(s3, toS3) }),
      },
      ...(index === undefined ? {} : { index: through(index, toRedis) }),
      ...(shares ? { replica: { advertise: this.advertised, secret, ...(owner ? { owner } : {}) } } : {}),
      upstreams: [{ registry: 'plain.test', url: upstreamUrl, default: true }],
      local: [{ match: 'local/**' }],
      ...settings,
    }
  }
}

/** Undefined: there is nothing to reach, or not at one address. */
function linkTo(url: string | undefined, protocol: string): Promise<NetworkLink> | undefined {
  if (url === undefined) return undefined
  const parsed = new URL(url)
  return parsed.protocol === protocol ? NetworkLink.start(Number(parsed.port)) : undefined
}

function settingOf(service: S3Service, link: NetworkLink | undefined) {
  const { bucket, region, endpoint, pathStyle, credentials } = service.options({}, link?.port)
  return { bucket, region, endpoint, pathStyle, ...credentials }
}

function through(url: string, link: NetworkLink | undefined): string {
  if (link === undefined) return url
  const { port } = new URL(url)
  return url.replace(`:${port}`, `:${link.port}`)
}

async function untilReady(url: string, daemon: Daemon): Promise<void> {
  const bound = AbortSignal.any([daemon.signal, AbortSignal.timeout(startTimeoutMs)])
  for (;;) {
    bound.throwIfAborted()
    const response = await fetch(`${url}/readyz`).catch(() => undefined) // not listening yet
    if (response?.ok) return
    await pause(lookAgainMs, undefined, { signal: bound }).catch(() => undefined) // the bound speaks above
  }
}
