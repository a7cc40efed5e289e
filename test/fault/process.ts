/** Layover as a process of its own, which a test can kill at any moment and start anew on the same store. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'

const main = resolve('src/main.ts')
const startTimeoutMs = 20_000

export class LayoverProcess implements AsyncDisposable {
  readonly url: string
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, url: string) {
    this.#child = child
    this.url = url
  }

  /** @param upstreamUrl of the one registry that it mirrors, under whatever name it is asked */
  static async start(home: string, upstreamUrl: string): Promise<LayoverProcess> {
    const file = join(home, 'upstreams.yaml')
    const upstream = `{registry: plain.test, url: "${upstreamUrl}", default: true}`
    await writeFile(file, `listen: 127.0.0.1:0\nstore: {path: ./data}\nupstreams: [${upstream}]\n`)
    const child = spawn(process.execPath, [main, 'serve', '--config', file], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const { port } = await listening(child)
    return new LayoverProcess(child, `http://127.0.0.1:${port}`)
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
    this.#child.kill(signal)
    await ended
  }
}

async function listening(child: ChildProcess): Promise<{ port: number }> {
  if (!child.stdout || !child.stderr) throw new Error('the process has no output to read')
  const complaints: string[] = []
  child.stderr.on('data', (chunk: Buffer) => complaints.push(chunk.toString()))
  const slow = setTimeout(() => child.kill('SIGKILL'), startTimeoutMs)
  try {
    for await (const line of createInterface(child.stdout)) {
      const entry = JSON.parse(line) as { msg?: string; port?: number }
      if (entry.msg === 'listening' && entry.port !== undefined) return { port: entry.port }
    }
  } finally {
    clearTimeout(slow)
    child.stdout.resume() // it must never wait for a reader of its log
  }
  throw new Error(`Layover did not start: ${complaints.join('')}`)
}
