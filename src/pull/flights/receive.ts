/** From upstream's body into the partial file: hashing, writing and receiving overlap. */
import type { Partial } from '../../store/partial.ts'
import type { GrowingHash } from '../../stream/growing-hash.ts'
import { WriteBehind } from '../../stream/write-behind.ts'
import type { BlobBody } from '../../upstream/upstream.ts'
import { UpstreamError } from '../../upstream/upstream-error.ts'
import { StoreFailure } from './store-failure.ts'

/** So much may wait for the disk before upstream has to. */
const maxPendingBytes = 1024 * 1024

interface Receiving {
  partial: Partial
  /** Resolves when there is room for it; nothing is written before. Rejects with a StoreFailure. */
  reserved: Promise<void>
  hash: GrowingHash
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
  const writer = new WriteBehind({ append: appending(receiving), maxPendingBytes })
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

function appending({ partial, reserved, hash, advanced }: Receiving) {
  reserved.catch(() => {}) // told of below, if anything comes
  return async (batch: readonly Buffer[]): Promise<void> => {
    await reserved
    try {
      const written = partial.append(batch)
      hash.update(batch)
      await written
    } catch (cause) {
      throw new StoreFailure('the store cannot take more of the blob', { cause })
    }
    hash.written(partial.written)
    advanced(batch)
  }
}
