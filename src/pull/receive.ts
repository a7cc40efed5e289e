/** From upstream's body into the partial file: hashing, writing and receiving overlap. */
import type { Partial } from '../store/partial.ts'
import type { BlobBody } from '../upstream/upstream.ts'
import { UpstreamError } from '../upstream/upstream-error.ts'
import type { FlightHash } from './flight-hash.ts'
import { StoreFailure } from './store-failure.ts'

/** So much may wait for the disk before upstream has to. */
const maxPendingBytes = 1024 * 1024

interface Receiving {
  partial: Partial
  hash: FlightHash
  upstream: string
  /** Bytes of the whole blob, where known. */
  size: number | undefined
  /** Told of the chunks by which the file has grown. */
  advanced: (chunks: readonly Buffer[]) => void
}

/** Appends the body. Rejects with an UpstreamError when it breaks, with a StoreFailure when the disk does. */
export async function receive(body: BlobBody, receiving: Receiving): Promise<void> {
  const { partial, upstream, size } = receiving
  if (body.first > partial.written) {
    body.body.destroy()
    throw new UpstreamError(
      upstream,
      'corrupt',
      `${upstream} answered a range from ${partial.written} with one from ${body.first}`,
    )
  }
  const writer = new Writer(receiving)
  const { written } = partial
  let position = body.first
  try {
    for await (const chunk of body.body as AsyncIterable<Buffer>) {
      const fresh = chunk.subarray(Math.max(0, written - position))
      position += chunk.length
      if (size !== undefined && position > size) {
        throw new UpstreamError(upstream, 'corrupt', `${upstream} sent more than the ${size} bytes of a blob`)
      }
      if (fresh.length > 0) await writer.push(fresh)
    }
  } finally {
    await writer.end()
  }
}

class Writer {
  readonly #receiving: Receiving
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #writing: Promise<void> | undefined
  #failure: StoreFailure | undefined

  constructor(receiving: Receiving) {
    this.#receiving = receiving
  }

  /** Resolves when more may be pushed. After a failure nothing is written any more: it would lie in the wrong place. */
  async push(chunk: Buffer): Promise<void> {
    if (this.#failure) throw this.#failure
    this.#waiting.push(chunk)
    this.#waitingBytes += chunk.length
    this.#writing ??= this.#write()
    if (this.#waitingBytes >= maxPendingBytes) await this.#writing
    if (this.#failure) throw this.#failure
  }

  /** Resolves when everything pushed is in the file. */
  async end(): Promise<void> {
    await this.#writing
    if (this.#failure) throw this.#failure
  }

  /** Writes batch after batch until nothing waits. Never rejects. */
  async #write(): Promise<void> {
    const { partial, hash, advanced } = this.#receiving
    try {
      while (this.#waiting.length > 0) {
        const batch = this.#waiting
        this.#waiting = []
        this.#waitingBytes = 0
        const written = partial.append(batch)
        hash.update(batch)
        await written
        hash.written(partial.written)
        advanced(batch)
      }
    } catch (cause) {
      this.#failure = new StoreFailure('the store cannot take more of the blob', { cause })
    } finally {
      this.#writing = undefined
    }
  }
}
