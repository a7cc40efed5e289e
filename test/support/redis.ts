/** Real Redis servers of a test: one, with Sentinels, or a Cluster; each in a folder of its own, keeping nothing by itself. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { freePort } from './free-port.ts'
import { type RedisSecurity, secureSettings } from './redis-security.ts'
import { tempDir } from './temp-dir.ts'

type TempDir = Awaited<ReturnType<typeof tempDir>>

const run = promisify(execFile)
const waitMs = 50_000
const lookEveryMs = 20

export interface RedisServerOptions {
  /** Settings as on its command line: `{ maxmemory: '2mb' }`. */
  readonly settings?: Readonly<Record<string, string>>
  /** It speaks TLS alone, and knows its users. */
  readonly security?: RedisSecurity | undefined
}

export class RedisServer implements AsyncDisposable {
  readonly port: number
  readonly #folder: TempDir
  readonly #settings: Readonly<Record<string, string>>
  readonly #security: RedisSecurity | undefined
  readonly #isSentinel: boolean
  #child: ChildProcess | undefined

  private constructor(
    port: number,
    folder: TempDir,
    { settings = {}, security, isSentinel = false }: RedisServerOptions & { isSentinel?: boolean },
  ) {
    this.port = port
    this.#folder = folder
    this.#settings = settings
    this.#security = security
    this.#isSentinel = isSentinel
  }

  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), await tempDir(), options)
    await server.begin()
    return server
  }

  /** @param watches the lines of its configuration */
  static async startSentinel(watches: readonly string[], security?: RedisSecurity): Promise<RedisServer> {
    const folder = await tempDir()
    const server = new RedisServer(await freePort(), folder, { security, isSentinel: true })
    await writeFile(folder.join('sentinel.conf'), `${watches.join('\n')}\n`)
    await server.begin()
    return server
  }

  get url(): string {
    return `${this.#security ? 'rediss' : 'redis'}://127.0.0.1:${this.port}`
  }

  /** Starts it, and resolves when it answers. What `save` wrote is found again. */
  async begin(): Promise<void> {
    const config = this.#isSentinel ? [this.#folder.join('sentinel.conf'), '--sentinel'] : ['--save', '']
    const { port } = this
    const settings = this.#security
      ? secureSettings(this.#security, { port, isSentinel: this.#isSentinel })
      : { port: String(port) }
    const given = Object.entries({ ...settings, ...this.#settings, dir: this.#folder.path })
    const args = [...config, ...given.flatMap(([name, value]) => [`--${name}`, value])]
    this.#child = spawn('redis-server', [...args, '--bind', '127.0.0.1'], { stdio: 'ignore' })
    await until(async () => (await this.command('PING').catch(String)) === 'PONG')
  }

  /** Asks it by a client of its own; resolves with what that prints. */
  async command(...args: readonly string[]): Promise<string> {
    return cli(['-p', String(this.port), ...args], this.#security)
  }

  /** What is in it now is found again after the next `begin`. */
  async save(): Promise<void> {
    await this.command('SAVE')
  }

  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await this.#folder[Symbol.asyncDispose]()
  }
}

/** Several servers that one address stands for. */
export interface RedisSite extends AsyncDisposable {
  readonly url: string
  readonly servers: readonly RedisServer[]
  readonly security: RedisSecurity | undefined
}

/** A master with two replicas, and three Sentinels that watch it. The servers come first, the master the first of them. */
export async function startSentinels(security?: RedisSecurity): Promise<RedisSite> {
  const master = await RedisServer.start({ security })
  const replicaof = `127.0.0.1 ${master.port}`
  const replica = () => RedisServer.start({ settings: { replicaof }, security })
  const servers = [master, await replica(), await replica()]
  const watches = [
    `sentinel monitor main 127.0.0.1 ${master.port} 2`,
    'sentinel down-after-milliseconds main 500',
    'sentinel failover-timeout main 3000',
    ...(security ? [`sentinel auth-pass main ${security.adminPassword}`] : []),
    ...(security ? [`sentinel sentinel-pass ${security.adminPassword}`] : []),
  ]
  const sentinels = await Promise.all([1, 2, 3].map(() => RedisServer.startSentinel(watches, security)))
  for (const sentinel of sentinels) {
    await until(async () => {
      const about = await sentinel.command('SENTINEL', 'MASTER', 'main')
      return /num-slaves\n2\nnum-other-sentinels\n2\n/.test(about)
    })
  }
  const scheme = security ? 'rediss+sentinel' : 'redis+sentinel'
  const url = `${scheme}://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/main`
  return siteOf(url, [...servers, ...sentinels], security)
}

/** Three masters with a replica each. */
export async function startCluster(security?: RedisSecurity): Promise<RedisSite> {
  const server = async () =>
    RedisServer.start({
      settings: {
        'cluster-enabled': 'yes',
        'cluster-port': String(await freePort()),
        'cluster-node-timeout': '1000',
        'cluster-replica-validity-factor': '0',
        ...(security ? { 'tls-cluster': 'yes' } : {}),
      },
      security,
    })
  const servers = await Promise.all(Array.from({ length: 6 }, server))
  const hosts = servers.map(({ port }) => `127.0.0.1:${port}`)
  await cli(['--cluster', 'create', ...hosts, '--cluster-replicas', '1', '--cluster-yes'], security)
  for (const each of servers) {
    await until(async () => {
      const [info, nodes] = [await each.command('CLUSTER', 'INFO'), await each.command('CLUSTER', 'NODES')]
      return info.includes('cluster_state:ok') && nodes.match(/\bslave\b/g)?.length === 3
    })
  }
  return siteOf(`${security ? 'rediss' : 'redis'}+cluster://${hosts.join(',')}`, servers, security)
}

/** Moves so many hash slots from the first master that has any to another one. */
export async function reshard({ servers, security }: RedisSite, slots: number): Promise<void> {
  const [first] = servers
  const masters = (await first?.command('CLUSTER', 'NODES'))
    ?.split('\n')
    .filter(line => /\bmaster\b/.test(line))
  const [from = '', to = ''] = (masters ?? []).map(line => line.split(' ')[0] ?? '')
  const where = `127.0.0.1:${first?.port}`
  const ids = ['--cluster-from', from, '--cluster-to', to, '--cluster-slots', String(slots)]
  await cli(['--cluster', 'reshard', where, ...ids, '--cluster-yes'], security)
}

/** Resolves with what the client of the servers prints, asked as their administrator. */
async function cli(args: readonly string[], security: RedisSecurity | undefined): Promise<string> {
  const tls = security ? ['--tls', '--cacert', security.files.ca] : []
  const env = { ...process.env, ...(security ? { REDISCLI_AUTH: security.adminPassword } : {}) }
  const { stdout } = await run('redis-cli', [...tls, ...args], { env, maxBuffer: 2 ** 26 })
  return stdout.trim()
}

function siteOf(
  url: string,
  servers: readonly RedisServer[],
  security: RedisSecurity | undefined,
): RedisSite {
  return {
    url,
    servers,
    security,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(servers.map(server => server[Symbol.asyncDispose]()))
    },
  }
}

/** Asks again and again until it holds. @throws after 50 s */
export async function until(holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + waitMs
  while (!(await holds())) {
    if (performance.now() > end) throw new Error('a Redis server did not get as far as it should')
    await new Promise(resolve => setTimeout(resolve, lookEveryMs))
  }
}
