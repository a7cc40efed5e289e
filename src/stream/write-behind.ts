/** Receiving and writing overlap: chunks are gathered while the batch before them is being appended. */
import { Signal } from './signal.ts'

export interface WriteBehindOptions {
  /** Never called again before it has resolved, nor after it has rejected. */
  append: (batch: readonly Buffer[]) => Promise<void>
  /** So much may wait for the disk before whoever pushes has to. */
  maxPendingBytes: number
}

export class WriteBehind {
  readonly #options: WriteBehindOptions
  /** Fired when what waited is being written, or never will be. */
  readonly #taken = new Signal()
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #writing: Promise<void> | undefined
  #failure: { error: unknown } | undefined

  constructor(options: WriteBehindOptions) {
    this.#options = options
  }

  /** Resolves when more may be pushed. Rejects with the first failure: what came after it would lie in the wrong place. */
  async push(chunk: Buffer): Promise<void> {
    this.#throwFailure()
    this.#waiting.push(chunk)
    this.#waitingBytes += chunk.length
    this.#writing ??= this.#write()
    if (this.#waitingBytes >= this.#options.maxPendingBytes) await this.#taken.next()
    this.#throwFailure()
  }

  /** Resolves when everything pushed is in the file. Rejects with the first failure. */
  async end(): Promise<void> {
    await this.#writing
    this.#throwFailure()
  }

  /** Appends batch after batch until nothing waits. Never rejects. */
  async #write(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const batch = this.#waiting
        this.#waiting = []
        this.#waitingBytes = 0
        this.#taken.fire()
        await this.#options.append(batch)
      }
    } catch (error) {
      this.#failure = { error }
      this.#waiting = []
      this.#taken.fire()
    } finally {
      this.#writing = undefined
    }
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error
  }
}
