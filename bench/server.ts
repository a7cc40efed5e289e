/** A server as a process of its own on the real disk, and what the kernel says of it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open, readFile } from 'node:fs/promises'
import { get } from 'node:http'
import { get as getSecurely } from 'node:https'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { nowMs } from './monotonic.ts'
import { type CpuSeconds, cpuSecondsOfTree, type MemoryBytes, memoryOfTree } from './tree.ts'

const startTimeoutMs = 30_000
const stopTimeoutMs = 15_000

export interface Launch {
  command: readonly [string, ...string[]]
  /** Folder of its own; output goes to `log` there. */
  home: string
  url: string
  /** Answers 200 once it serves. */
  readyPath?: string
  /** Of a server that does not speak HTTP. */
  isReady?: () => Promise<boolean>
  /** As `taskset` takes them; undefined: every core. */
  cores: string | undefined
  env?: Record<string, string>
}

export interface Launched {
  child: ChildProcess
  url: string
  bootMs: number
}

export async function launch({ command, home, url, cores, env, ...launch }: Launch): Promise<Launched> {
  const { readyPath = '/', isReady = async () => (await statusOf(url + readyPath)) === 200 } = launch
  await mkdir(home, { recursive: true })
  await using log = await open(join(home, 'log'), 'a')
  const [program, ...args] = cores === undefined ? command : ['taskset', '-c', cores, ...command]
  const startedMs = nowMs()
  const child = spawn(program, args, {
    cwd: home,
    stdio: ['ignore', log.fd, log.fd],
    env: { ...process.env, ...env },
  })
  await untilReady(child, isReady, home)
  return { child, url, bootMs: nowMs() - startedMs }
}

/** Of what a comparison asks. */
export interface Measurable {
  readonly url: string
  cpuSeconds: () => Promise<CpuSeconds>
  memoryBytes: () => Promise<MemoryBytes>
}

export class Server implements Measurable, AsyncDisposable {
  readonly url: string
  /** From the start of the process to its first 200. */
  readonly bootMs: number
  readonly #process: ChildProcess
  readonly #kill = () => this.#process.kill('SIGKILL')

  constructor({ child, url, bootMs }: Launched) {
    this.#process = child
    this.url = url
    this.bootMs = bootMs
    process.on('exit', this.#kill)
  }

  /** Since their start, all threads of the process and of its tree. */
  cpuSeconds(): Promise<CpuSeconds> {
    return cpuSecondsOfTree(this.#process.pid ?? 0)
  }

  memoryBytes(): Promise<MemoryBytes> {
    return memoryOfTree(this.#process.pid ?? 0)
  }

  /** As the kernel's out-of-memory killer ends it. */
  kill(): Promise<void> {
    return this.#end('SIGKILL')
  }

  /** It keeps its connections, and does nothing. */
  sleep(): void {
    this.#process.kill('SIGSTOP')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.#kill)
    this.#process.kill('SIGCONT') // one that sleeps would not end
    const late = setTimeout(this.#kill, stopTimeoutMs)
    await this.#end('SIGTERM')
    clearTimeout(late)
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const ended = once(this.#process, 'exit')
    this.#process.kill(signal)
    await ended
  }
}

/** Holds every thread of a process to these cores. */
export function pin(pid: number, cores: string): void {
  execFileSync('taskset', ['-a', '-p', '-c', cores, String(pid)])
}

/** Go takes as many threads as it has cores, whatever it is held to. */
export function goEnvironment(cores: string | undefined): Record<string, string> {
  return cores === undefined ? {} : { GOMAXPROCS: String(cores.split(',').length) }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port is free')
  return address.port
}

async function untilReady(child: ChildProcess, isReady: () => Promise<boolean>, home: string): Promise<void> {
  const deadlineMs = nowMs() + startTimeoutMs
  while (nowMs() < deadlineMs && child.exitCode === null) {
    if (await isReady()) return
    await pause(2)
  }
  child.kill()
  throw new Error(`the server did not become ready:\n${await readFile(join(home, 'log'), 'utf8')}`)
}

/** 0: nobody listens. */
function statusOf(url: string): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  const ask = url.startsWith('https:') ? getSecurely : get
  // The certificate of a run is known to nobody.
  ask(url, { agent: false, rejectUnauthorized: false }, response =>
    resolve(response.resume().statusCode ?? 0),
  ).on('error', () => resolve(0))
  return promise
}
