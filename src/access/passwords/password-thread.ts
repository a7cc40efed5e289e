/** The one thread that computes password hashes; it is there only while there is something to compute. */
import { Worker } from 'node:worker_threads'
import { type Clock, systemClock } from '../../runtime/clock.ts'
import type { PasswordHash } from './password-hash.ts'

export interface PasswordQuestion {
  readonly password: string
  readonly hash: PasswordHash
}

export type PasswordAnswer = { readonly isRight: boolean } | { readonly error: Error }

/** The thread's file as it lies beside this one: TypeScript in a checkout, JavaScript once built. */
const workerFile = new URL(
  `./password-worker.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`,
  import.meta.url,
)

/** Starting a thread takes some 30 ms. */
const idleMs = 10_000
/** The dearest hash that can be configured takes some 10 s. */
const longestMs = 60_000

/** No word about the password. */
export class PasswordThreadEnded extends Error {
  override readonly name = 'PasswordThreadEnded'
}

export class PasswordThread {
  readonly #file: URL
  readonly #clock: Clock
  #worker: Worker | undefined
  #asked: PromiseWithResolvers<boolean> | undefined
  #idle: NodeJS.Timeout | undefined

  constructor({ file = workerFile, clock = systemClock }: { file?: URL; clock?: Clock } = {}) {
    this.#file = file
    this.#clock = clock
  }

  /**
   * One at a time. Resolves with whether the password has the hash.
   *
   * @throws PasswordThreadEnded when the thread dies, or takes a minute; the next question gets a new one
   */
  async isRight(question: PasswordQuestion): Promise<boolean> {
    clearTimeout(this.#idle)
    const worker = this.#worker ?? this.#start()
    this.#worker = worker
    const asked = Promise.withResolvers<boolean>()
    this.#asked = asked
    worker.ref()
    worker.postMessage(question)
    const answered = new AbortController()
    this.#clock.sleep(longestMs, answered.signal).then(
      () => this.#end(worker, 'it took too long'),
      () => {}, // it has answered
    )
    try {
      return await asked.promise
    } finally {
      answered.abort()
      this.#asked = undefined
      worker.unref()
      this.#idle = setTimeout(() => this.#end(worker, 'it was idle'), idleMs).unref()
    }
  }

  close(): void {
    clearTimeout(this.#idle)
    if (this.#worker) this.#end(this.#worker, 'Layover is stopping')
  }

  #start(): Worker {
    const worker = new Worker(this.#file)
    let cause: unknown
    worker.on('message', (answer: PasswordAnswer) => {
      if ('isRight' in answer) this.#asked?.resolve(answer.isRight)
      else this.#asked?.reject(answer.error)
    })
    worker.on('error', error => {
      cause = error
    })
    worker.on('exit', () => this.#ended(worker, 'it ended early', cause))
    return worker
  }

  #end(worker: Worker, why: string): void {
    this.#ended(worker, why)
    void worker.terminate()
  }

  #ended(worker: Worker, why: string, cause?: unknown): void {
    if (this.#worker !== worker) return
    this.#worker = undefined
    this.#asked?.reject(new PasswordThreadEnded(`the thread for passwords is gone: ${why}`, { cause }))
  }
}
