/** Layover as processes of their own with a small cache: any of them killed at any moment, or all at once. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { json } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'

/** Another entry to try the same on, e.g. `dist/main.js` after a build. */
const main = resolve(process.env.LAYOVER_MAIN ?? 'src/main.ts')
const startTimeoutMs = 60_000
const keptLines = 1_000
const lingerMs = 15_000

export interface Setting {
  /** Folder of the configuration and of the store, `data`. */
  readonly home: string
  readonly upstreamUrl: string
  /** 1: one process does all. */
  readonly workers: number
  readonly maxBytes: number
}

/** `primary`: the process that was started; where one does all, the only one. */
export type Victim = 'primary' | 'server' | 'all'

export class MixedProcess implements AsyncDisposable {
  readonly url: string
  readonly store: string
  /** The last of its log. */
  readonly lines: string[]
  /** Servers that had not ended so long after their primary was killed. */
  lingering = 0
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>

  private constructor(
    child: ChildProcess,
    { url, store, lines }: Pick<MixedProcess, 'url' | 'store' | 'lines'>,
  ) {
    this.#child = child
    this.#ended = once(child, 'exit')
    this.url = url
    this.store = store
    this.lines = lines
  }

  static async start(setting: Setting): Promise<MixedProcess> {
    const { home, workers } = setting
    const file = join(home, 'upstreams.yaml')
    await writeFile(file, JSON.stringify(configuration(setting)))
    const args = [main, 'serve', '--config', file, '--workers', String(workers)]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    const lines: string[] = []
    const port = await portOf(child, lines)
    return new MixedProcess(child, { url: `http://127.0.0.1:${port}`, store: join(home, 'data'), lines })
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Of the last of its log what is more than information, or is about an answer that failed. */
  complaints(): string[] {
    return this.lines.filter(line => !line.includes('"level":"info"') || /"status":5\d\d|"error":/.test(line))
  }

  /** Resolves when they are gone, a server that is killed alone apart. Servers are to end with their primary. */
  async kill(victim: Victim): Promise<void> {
    if (!this.isRunning) return
    const servers = await this.#servers()
    if (victim === 'server') return servers.slice(-1).forEach(killIfThere)
    if (victim === 'all') servers.forEach(killIfThere)
    this.#child.kill('SIGKILL')
    await this.#ended
    await this.#endOf(servers)
  }

  async stop(): Promise<void> {
    if (!this.isRunning) return
    this.#child.kill('SIGTERM')
    await this.#ended
  }

  /** @param path below `/api/v1/`; resolves with the status and the body */
  async admin(method: 'GET' | 'POST', path: string): Promise<{ status: number; body: unknown }> {
    const socketPath = join(this.store, 'admin.sock')
    const outgoing = request({
      socketPath,
      method,
      path: `/api/v1/${path}`,
      headers: { host: 'localhost' },
      agent: false,
    })
    outgoing.end()
    const [response] = await once(outgoing, 'response')
    return { status: response.statusCode, body: await json(response) }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill('all')
  }

  /** Who lives on would hold its clients for ever. */
  async #endOf(servers: readonly number[]): Promise<void> {
    const deadlineMs = performance.now() + lingerMs
    while (performance.now() < deadlineMs && servers.some(isThere)) await setTimeout(10)
    for (const pid of servers.filter(isThere)) {
      this.lingering += 1
      killIfThere(pid)
    }
  }

  async #servers(): Promise<number[]> {
    const { pid } = this.#child
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
    return children.split(' ').filter(Boolean).map(Number)
  }
}

/** YAML takes JSON. What nothing names goes as soon as it can, so that much of it goes in a round. */
function configuration({ upstreamUrl, maxBytes }: Setting) {
  return {
    listen: '127.0.0.1:0',
    admin: { listen: 'off' },
    store: { path: './data', maxSize: `${maxBytes}B`, minFree: '1MiB', grace: '1s', scrubRate: '0' },
    upstreams: [
      {
        registry: 'plain.test',
        url: upstreamUrl,
        default: true,
        tags: [{ match: '*', fresh: '1s' }],
        notFoundFor: '0s',
      },
    ],
    local: [{ match: 'local/**' }],
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {} // it has just ended
}

/** A dead one that nobody has waited for yet is gone. */
function isThere(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

async function portOf(child: ChildProcess, lines: string[]): Promise<number> {
  if (!child.stdout || !child.stderr) throw new Error('the process has no output to read')
  const { promise, resolve: found } = Promise.withResolvers<number | undefined>()
  const keep = (line: string) => {
    lines.push(line)
    if (lines.length > keptLines) lines.shift()
    const port = /"port":(\d+),"msg":"listening"/.exec(line)?.[1]
    if (port !== undefined) found(Number(port))
  }
  createInterface(child.stdout).on('line', keep) // it must never wait for a reader of its log
  createInterface(child.stderr).on('line', keep)
  child.once('exit', () => found(undefined))
  const started = new AbortController()
  const port = await Promise.race([promise, setTimeout(startTimeoutMs, undefined, started)])
  started.abort()
  if (port === undefined) child.kill('SIGKILL')
  if (port === undefined) throw new Error(`Layover did not start: ${lines.join('\n')}`)
  return port
}
