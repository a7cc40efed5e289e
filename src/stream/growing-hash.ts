/** The hash of bytes that come one after the other into a file: here while they come, or behind them in a thread. */
import { createHash, type Hash } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { type Algorithm, type Digest, digestFrom } from '../oci/digest.ts'
import { type FollowedFile, type HashedFile, HashThread } from './hash-thread.ts'

export interface GrowingHash extends Disposable {
  /** These bytes come next. */
  update(chunks: readonly Buffer[]): void
  /** So many bytes are in the file. */
  written(offset: number): void
  /** Of all bytes so far; they have to be in the file. Rejects when it cannot be read. To be asked for once. */
  digest(): Promise<Digest>
}

export interface HashOptions {
  /** Held open for as long as it is read. */
  readonly file: HashedFile
  /** Bytes that are in the file already. */
  readonly from: number
  /** Bytes of the whole, where known. */
  readonly expected: number | undefined
}

/** Up to here hashing takes less than telling another thread to. */
const inlineBytes = 1024 * 1024

const shared = new HashThread()
const manyCores = availableParallelism() > 1

export function openHash(
  algorithm: Algorithm,
  options: HashOptions,
  thread: HashThread | undefined = manyCores ? shared : undefined,
): GrowingHash {
  return new FileHash(algorithm, options, thread)
}

/** Begins here, and leaves a body that turns out to be long to the thread, which reads its beginning again. */
class FileHash implements GrowingHash {
  readonly #algorithm: Algorithm
  readonly #file: HashedFile
  readonly #thread: HashThread | undefined
  #here: Hash | undefined
  #hashedHere = 0
  #written: number
  #followed: FollowedFile | undefined

  constructor(algorithm: Algorithm, { file, from, expected }: HashOptions, thread: HashThread | undefined) {
    this.#algorithm = algorithm
    this.#file = file
    this.#thread = thread
    this.#written = from
    if (from > 0)
      this.#follow(thread ?? shared) // a long second reading would stop everything else here
    else if (thread && (expected ?? 0) > inlineBytes) this.#follow(thread)
    else this.#here = createHash(algorithm)
  }

  update(chunks: readonly Buffer[]): void {
    if (!this.#here) return
    for (const chunk of chunks) {
      this.#here.update(chunk)
      this.#hashedHere += chunk.length
    }
    if (this.#thread && this.#hashedHere > inlineBytes) this.#follow(this.#thread)
  }

  written(offset: number): void {
    this.#written = offset
    this.#followed?.written(offset)
  }

  async digest(): Promise<Digest> {
    if (this.#followed) return `${this.#algorithm}:${await this.#followed.digest()}` as Digest
    if (!this.#here) throw new Error('the hash was given up')
    return digestFrom(this.#algorithm, this.#here)
  }

  [Symbol.dispose](): void {
    this.#followed?.close()
    this.#here = undefined
  }

  #follow(thread: HashThread): void {
    this.#here = undefined
    this.#followed = thread.follow(this.#algorithm, this.#file)
    this.#followed.written(this.#written)
  }
}
