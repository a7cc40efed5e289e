/** A body whose bytes are reserved before they are taken. */
import type { Chunk } from './body.ts'

/**
 * All at once where the client says how many there are, else as they come.
 *
 * @param reserve bytes of the body so far, or in all; throws to take no more
 */
export function metered(chunk: Chunk, reserve: (bytes: number) => void): Chunk {
  const { length, chunks } = chunk
  reserve(length ?? 0)
  return length === undefined ? { ...chunk, chunks: reserved(chunks, reserve) } : chunk
}

async function* reserved(
  chunks: AsyncIterable<Buffer>,
  reserve: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  let received = 0
  for await (const chunk of chunks) {
    received += chunk.length
    reserve(received)
    yield chunk
  }
}
