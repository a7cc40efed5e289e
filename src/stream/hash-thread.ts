/** A thread that hashes growing files, many at once; it is there only while there are any. */
import { Worker } from 'node:worker_threads'

/** The thread's file as it lies beside this one: TypeScript in a checkout, JavaScript once built. */
const workerFile = new URL(`./hash-worker.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url)

export type HashOrder = { readonly id: number } & (
  | { readonly kind: 'follow'; readonly algorithm: string; readonly fd: number }
  | { readonly kind: 'written' | 'digest'; readonly upTo: number }
  | { readonly kind: 'drop' }
)

export type HashAnswer = { readonly id: number } & (
  | { readonly hex: string }
  | { readonly error: Error }
  | { readonly dropped: true }
)

/** A descriptor that stays open as long as it is retained. */
export interface HashedFile {
  readonly fd: number
  retain(): unknown
  release(): void
}

/** Starting a thread takes some 30 ms. */
const idleMs = 10_000

/** The thread is told in steps of so many bytes: it reads in such steps anyway. */
const stepBytes = 1024 * 1024

/** No word about the file. */
export class HashThreadEnded extends Error {
  override readonly name = 'HashThreadEnded'
}

export class HashThread {
  readonly #idleMs: number
  readonly #followed = new Map<number, FollowedFile>()
  #nextId = 0
  #worker: Worker | undefined
  #idle: NodeJS.Timeout | undefined

  constructor({ idleMs: ms = idleMs } = {}) {
    this.#idleMs = ms
  }

  /** Whether there is a thread now. */
  get running(): boolean {
    return this.#worker !== undefined
  }

  /** Hashes the file from its start, as far as it is told to. */
  follow(algorithm: string, file: HashedFile): FollowedFile {
    clearTimeout(this.#idle)
    const worker = this.#worker ?? this.#start()
    this.#worker = worker
    const id = this.#nextId
    this.#nextId += 1
    const followed = new FollowedFile(id, file, worker)
    this.#followed.set(id, followed)
    worker.postMessage({ id, kind: 'follow', algorithm, fd: file.fd } satisfies HashOrder)
    return followed
  }

  #start(): Worker {
    const worker = new Worker(workerFile)
    let cause: unknown
    worker.on('message', (answer: HashAnswer) => this.#answered(answer))
    worker.on('error', error => {
      cause = error
    })
    worker.on('exit', () => this.#ended(worker, cause))
    worker.unref()
    return worker
  }

  #answered(answer: HashAnswer): void {
    this.#followed.get(answer.id)?.settle(answer)
    this.#followed.delete(answer.id)
    if (!this.#followed.values().some(({ awaited }) => awaited)) this.#worker?.unref()
    if (this.#followed.size > 0) return
    this.#idle = setTimeout(() => this.#stop(), this.#idleMs).unref()
  }

  #stop(): void {
    void this.#worker?.terminate()
    this.#worker = undefined
  }

  /** Nobody is left waiting, and the next file gets a new thread. */
  #ended(worker: Worker, cause: unknown): void {
    if (this.#worker !== worker) return // it was idle
    this.#worker = undefined
    const error = new HashThreadEnded('the hashing thread ended early', { cause })
    for (const [id, followed] of this.#followed) followed.settle({ id, error })
    this.#followed.clear()
  }
}

export class FollowedFile {
  readonly #id: number
  readonly #file: HashedFile
  readonly #worker: Worker
  readonly #result = Promise.withResolvers<string>()
  #upTo = 0
  #told = 0
  #awaited = false
  #over = false

  constructor(id: number, file: HashedFile, worker: Worker) {
    this.#id = id
    this.#file = file
    this.#worker = worker
    file.retain()
    this.#result.promise.catch(() => {}) // reported by `digest`, if anybody asks
  }

  /** Somebody waits for the digest, and the process with them. */
  get awaited(): boolean {
    return this.#awaited
  }

  /** The file has so many bytes, all of which may be read. */
  written(upTo: number): void {
    this.#upTo = upTo
    if (upTo - this.#told < stepBytes) return
    this.#told = upTo
    this.#tell({ kind: 'written', upTo })
  }

  /** Hexadecimal digest of all bytes announced. Rejects when they cannot be read. */
  digest(): Promise<string> {
    this.#awaited = true
    if (!this.#over) this.#worker.ref()
    this.#tell({ kind: 'digest', upTo: this.#upTo })
    return this.#result.promise
  }

  /** No digest is wanted any more. */
  close(): void {
    this.#awaited = false
    this.#result.reject(new Error('the hash was given up'))
    this.#tell({ kind: 'drop' })
  }

  /** The thread is done with the file. */
  settle(answer: HashAnswer): void {
    if (this.#over) return
    this.#over = true
    if ('hex' in answer) this.#result.resolve(answer.hex)
    if ('error' in answer) this.#result.reject(answer.error)
    this.#file.release()
  }

  #tell(order: { kind: 'written' | 'digest'; upTo: number } | { kind: 'drop' }): void {
    if (!this.#over) this.#worker.postMessage({ id: this.#id, ...order } satisfies HashOrder)
  }
}
