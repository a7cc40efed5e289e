/** Hashes a growing file in a thread of its own. */
import { Worker } from 'node:worker_threads'

/** The thread's file as it lies beside this one: TypeScript in a checkout, JavaScript once built. */
const workerFile = new URL(
  `./file-hasher-worker.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`,
  import.meta.url,
)

export type FileHasherMessage = { upTo: number } | 'digest'

export class FileHasher {
  readonly #worker: Worker
  readonly #result: Promise<string>

  /** @param fd an open file; it has to stay open until the digest is there or `close` was called */
  constructor(algorithm: string, fd: number) {
    this.#worker = new Worker(workerFile, { workerData: { algorithm, fd } })
    this.#result = new Promise((resolve, reject) => {
      this.#worker.once('message', resolve)
      this.#worker.once('error', reject)
      this.#worker.once('exit', () => reject(new Error('the hashing thread ended early')))
    })
    this.#result.catch(() => {}) // reported by `digest`, if anybody asks
    this.#worker.unref()
  }

  /** The file has so many bytes, all of which may be read. */
  written(upTo: number): void {
    this.#worker.postMessage({ upTo } satisfies FileHasherMessage)
  }

  /** Hexadecimal digest of all bytes announced. Rejects when the file cannot be read. */
  digest(): Promise<string> {
    this.#worker.postMessage('digest' satisfies FileHasherMessage)
    return this.#result
  }

  close(): void {
    void this.#worker.terminate()
  }
}
