/** Layover as a process of its own: killed at any moment, started anew on the same store, or traced. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'

const main = resolve('src/main.ts')
const startTimeoutMs = 60_000

export interface ProcessOptions {
  /** Folder of the configuration and of the store, `data`. */
  readonly home: string
  /** Of the one registry that it mirrors, under every name that is not local. */
  readonly upstreamUrl: string
  /** A command that runs the program. */
  readonly runner?: readonly string[]
  /** Servers beside a primary; default: as the suite runs. */
  readonly workers?: number
  /** What the configuration says under `limits`. */
  readonly limits?: Readonly<Record<string, unknown>>
}

export class LayoverProcess implements AsyncDisposable {
  readonly url: string
  readonly #child: ChildProcess
  /** Of the process, or of the primary where there are several. */
  readonly pid: number

  private constructor(child: ChildProcess, pid: number, url: string) {
    this.#child = child
    this.pid = pid
    this.url = url
  }

  static async start({
    home,
    upstreamUrl,
    runner = [],
    workers,
    limits = {},
  }: ProcessOptions): Promise<LayoverProcess> {
    const file = join(home, 'upstreams.yaml')
    const config = [
      'listen: 127.0.0.1:0',
      'store: {path: ./data}',
      `upstreams: [{registry: plain.test, url: "${upstreamUrl}", default: true}]`,
      'local: [{match: "local/**"}]',
      `limits: ${JSON.stringify(limits)}`,
    ]
    await writeFile(file, config.join('\n'))
    const [command, ...args] = [...runner, process.execPath, main, 'serve', '--config', file]
    if (workers !== undefined) args.push('--workers', String(workers))
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    const url = `http://127.0.0.1:${await portOf(child)}`
    const { pid = 0 } = child
    return new LayoverProcess(child, runner.length === 0 ? pid : await childOf(pid), url)
  }

  /** Ids of the processes that serve; none where one process does all. */
  async servers(): Promise<readonly number[]> {
    const text = await readFile(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8')
    return text.split(' ').filter(Boolean).map(Number)
  }

  /** From here on nobody reads the log; then, with what is given back, all the rest of it until the process has ended. */
  holdLog(): () => Promise<string> {
    const { stdout } = this.#child
    if (!stdout) throw new Error('the process has no output to read')
    stdout.pause()
    return () => text(stdout)
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal)
  }

  /** As a power cut or the kernel's out-of-memory killer ends it. */
  kill(): Promise<void> {
    return this.#end('SIGKILL')
  }

  /** As `docker stop` does: what is on its way is put away. */
  stop(): Promise<void> {
    return this.#end('SIGTERM')
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill()
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const { exitCode, signalCode } = this.#child
    if (exitCode !== null || signalCode !== null) return
    const ended = once(this.#child, 'exit')
    process.kill(this.pid, signal)
    await ended
  }
}

/** The program that a runner runs: signals are for it, and the runner ends with it. */
async function childOf(pid: number): Promise<number> {
  return Number.parseInt(await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8'), 10)
}

async function portOf(child: ChildProcess): Promise<number> {
  if (!child.stdout || !child.stderr) throw new Error('the process has no output to read')
  const complaints: string[] = []
  child.stderr.on('data', (chunk: Buffer) => complaints.push(chunk.toString()))
  const slow = setTimeout(() => child.kill('SIGKILL'), startTimeoutMs)
  try {
    for await (const line of createInterface(child.stdout)) {
      const entry = JSON.parse(line) as { msg?: string; port?: number }
      if (entry.msg === 'listening' && entry.port !== undefined) return entry.port
      complaints.push(line)
    }
  } finally {
    clearTimeout(slow)
    child.stdout.resume() // it must never wait for a reader of its log
  }
  throw new Error(`Layover did not start: ${complaints.join('\n')}`)
}
