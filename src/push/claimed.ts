/** Bytes on their way into the store, and the record that is to name them. */
import type { Digest } from '../oci/digest.ts'
import type { Store } from '../store/store.ts'

export interface Claimed {
  readonly put: () => Promise<void>
  /** Writes the record when the bytes are on disk. */
  readonly name: (stored: Promise<void>) => Promise<void>
}

/** No collection comes between the two, and nothing goes on behind a refusal. */
export function storeClaimed(
  { pushed }: Pick<Store, 'pushed'>,
  digest: Digest,
  { put, name }: Claimed,
): Promise<void> {
  return pushed.claim(digest, async () => {
    const stored = put()
    try {
      await name(stored)
    } finally {
      await Promise.allSettled([stored])
    }
  })
}
