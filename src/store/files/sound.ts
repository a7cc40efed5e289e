/** What a stored file really is. */
import type { Algorithm, Digest } from '../../oci/digest.ts'
import { openHash } from '../../stream/growing-hash.ts'
import type { OpenFile } from './open-files.ts'

/** Off this thread: the file may be large. Rejects when it cannot be read, or at the signal. */
export async function digestOfFile(
  algorithm: Algorithm,
  { file, size }: OpenFile,
  signal?: AbortSignal,
): Promise<Digest> {
  using hash = openHash(algorithm, { file, from: size, expected: size })
  const giveUp = () => hash[Symbol.dispose]()
  signal?.addEventListener('abort', giveUp, { once: true })
  try {
    return await hash.digest()
  } finally {
    signal?.removeEventListener('abort', giveUp)
  }
}
