/** A program that runs in the background of a test: waits for what it says, ends it, keeps its output. */
import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

const startTimeoutMs = 30_000
const stopTimeoutMs = 20_000

export class Daemon implements AsyncDisposable {
  readonly lines: string[] = []
  readonly #name: string
  readonly #child: ChildProcess
  readonly #events = new EventEmitter()
  /** Resolves with the exit code once all output was read; null when a signal ended it or it never ran. */
  readonly ended: Promise<number | null>

  constructor(command: string, args: readonly string[], options: { cwd: string; env: NodeJS.ProcessEnv }) {
    this.#name = command
    const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    this.ended = new Promise(resolve => {
      child.on('close', resolve)
      child.on('error', error => {
        this.lines.push(String(error))
        resolve(null)
      })
    })
    const kill = () => child.kill('SIGKILL')
    process.once('exit', kill) // of a test that was given up
    void this.ended.then(() => {
      process.off('exit', kill)
      this.#events.emit('end')
    })
    this.#collect(child.stdout)
    this.#collect(child.stderr)
  }

  #collect(output: Readable): void {
    createInterface({ input: output }).on('line', line => {
      this.lines.push(line)
      this.#events.emit('line')
    })
  }

  /** Aborted when the program ends, with what it said last. */
  get signal(): AbortSignal {
    const controller = new AbortController()
    void this.ended.then(() => controller.abort(this.#failure('ended')))
    return controller.signal
  }

  /** The first line, past or coming, that matches. */
  async line(pattern: RegExp): Promise<RegExpExecArray> {
    const bound = AbortSignal.any([this.signal, AbortSignal.timeout(startTimeoutMs)])
    for (;;) {
      for (const line of this.lines) {
        const match = pattern.exec(line)
        if (match) return match
      }
      await once(this.#events, 'line', { signal: bound }).catch(() => {
        throw this.#failure(`never said ${pattern}`)
      })
    }
  }

  send(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Asks it to end, insists after a while, and resolves when all its output was read. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM')
    const insist = setTimeout(() => this.#child.kill('SIGKILL'), stopTimeoutMs)
    await this.ended
    clearTimeout(insist)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #failure(what: string): Error {
    return new Error(`${this.#name} ${what}:\n${this.lines.slice(-20).join('\n')}`)
  }
}
