/** The hash of a flight's bytes: here while they come, or in a thread of its own where earlier bytes must be read again. */
import { createHash } from 'node:crypto'
import type { Algorithm, Digest } from '../oci/digest.ts'
import { digestFrom } from '../oci/digest.ts'
import type { Partial } from '../store/partial.ts'
import { FileHasher } from '../stream/file-hasher.ts'

export interface FlightHash extends Disposable {
  /** These bytes come next. */
  update(chunks: readonly Buffer[]): void
  /** So many bytes are in the file. */
  written(offset: number): void
  /** Of all bytes so far. */
  digest(): Promise<Digest>
}

/** A partial that an earlier flight left behind is hashed off the main thread, which then goes on following the file. */
export function openFlightHash(algorithm: Algorithm, partial: Partial): FlightHash {
  return partial.written > 0 ? followingHash(algorithm, partial) : inlineHash(algorithm)
}

function inlineHash(algorithm: Algorithm): FlightHash {
  const hash = createHash(algorithm)
  return {
    update(chunks) {
      for (const chunk of chunks) hash.update(chunk)
    },
    written() {},
    digest: async () => digestFrom(algorithm, hash),
    [Symbol.dispose]() {},
  }
}

function followingHash(algorithm: Algorithm, partial: Partial): FlightHash {
  const hasher = new FileHasher(algorithm, partial.file.fd)
  hasher.written(partial.written)
  return {
    update() {},
    written: offset => hasher.written(offset),
    digest: async () => `${algorithm}:${await hasher.digest()}` as Digest,
    [Symbol.dispose]: () => hasher.close(),
  }
}
