/** Layover as a person runs it: the command, a file, a store on the real disk; and what the kernel says of the process. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open, readFile, writeFile } from 'node:fs/promises'
import { get } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { nowMs } from './monotonic.ts'

const startTimeoutMs = 30_000
const stopTimeoutMs = 15_000
const ticksPerSecond = 100

export interface LayoverOptions {
  /** Folder of its own; a store that lies in `data` there is used. */
  home: string
  /** `dist/main.js` instead of `src/main.ts`. */
  built: boolean
  /** Name by which clients ask → port of the origin. */
  upstreams: Record<string, number>
}

export class Layover implements AsyncDisposable {
  readonly url: string
  readonly store: string
  /** From the start of the process to the first 200 of `/readyz`. */
  readonly bootMs: number
  readonly #process: ChildProcess
  readonly #kill = () => this.#process.kill('SIGKILL')

  private constructor(child: ChildProcess, { url, store, bootMs }: Started) {
    this.#process = child
    this.url = url
    this.store = store
    this.bootMs = bootMs
    process.on('exit', this.#kill)
  }

  static async start({ home, built, upstreams }: LayoverOptions): Promise<Layover> {
    await mkdir(home, { recursive: true })
    const address = `127.0.0.1:${await freePort()}`
    const store = join(home, 'data')
    const file = join(home, 'upstreams.yaml')
    await writeFile(file, configuration(address, store, upstreams))
    const main = fileURLToPath(new URL(built ? '../dist/main.js' : '../src/main.ts', import.meta.url))
    await using log = await open(join(home, 'log'), 'a')
    const startedMs = nowMs()
    const child = spawn(process.execPath, [main, 'serve', '--config', file], {
      cwd: home,
      stdio: ['ignore', log.fd, log.fd],
    })
    const url = `http://${address}`
    await untilReady(child, url, home)
    return new Layover(child, { url, store, bootMs: nowMs() - startedMs })
  }

  /** Since its start, all threads. */
  async cpuSeconds(): Promise<{ user: number; system: number }> {
    const stat = await readFile(`/proc/${this.#process.pid}/stat`, 'utf8')
    const [, user, system] = /^(?:\S+ ){11}(\d+) (\d+)/.exec(stat.slice(stat.lastIndexOf(')') + 2)) ?? []
    return { user: Number(user) / ticksPerSecond, system: Number(system) / ticksPerSecond }
  }

  /**
   * `resident`: what it holds. `proportional`: the same with shared pages divided among those who share them. On a machine
   * that runs nothing else of this Node they are one; here the origin and the clients share the program with it.
   */
  async memoryBytes(): Promise<{ resident: number; proportional: number }> {
    const rollup = await readFile(`/proc/${this.#process.pid}/smaps_rollup`, 'utf8')
    const field = (name: string) => Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(rollup)?.[1]) * 1024
    return { resident: field('Rss'), proportional: field('Pss') }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.#kill)
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const ended = once(this.#process, 'exit')
    this.#process.kill('SIGTERM')
    const late = setTimeout(this.#kill, stopTimeoutMs)
    await ended
    clearTimeout(late)
  }
}

interface Started {
  url: string
  store: string
  bootMs: number
}

/** `kept` counts as fresh for long, every other tag is asked for each time. */
function configuration(address: string, store: string, upstreams: Record<string, number>): string {
  const entries = Object.entries(upstreams).map(
    ([registry, port]) => `  - registry: ${registry}
    url: http://127.0.0.1:${port}
    tags: [{match: kept, fresh: 1h}, {match: "*", fresh: 0s}]`,
  )
  return `listen: ${address}
store: {path: ${JSON.stringify(store)}}
upstreams:
${entries.join('\n')}
`
}

async function untilReady(child: ChildProcess, url: string, home: string): Promise<void> {
  const deadlineMs = nowMs() + startTimeoutMs
  while (nowMs() < deadlineMs && child.exitCode === null) {
    if ((await statusOf(`${url}/readyz`)) === 200) return
    await pause(2)
  }
  child.kill()
  throw new Error(`Layover did not become ready:\n${await readFile(join(home, 'log'), 'utf8')}`)
}

/** 0: nobody listens. */
function statusOf(url: string): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  get(url, { agent: false }, response => resolve(response.resume().statusCode ?? 0)).on('error', () =>
    resolve(0),
  )
  return promise
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port is free')
  return address.port
}
