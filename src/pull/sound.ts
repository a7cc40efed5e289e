/** Whether a stored blob is what its name says. */
import type { BlobEntry } from '../index/index.ts'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import type { StoredBlob } from '../store/store.ts'
import { FileHasher } from '../stream/file-hasher.ts'

/** Off this thread: the file may be large. */
export async function isSound(digest: Digest, { file, size }: StoredBlob): Promise<boolean> {
  const hasher = new FileHasher(algorithmOf(digest), file.fd)
  try {
    hasher.written(size)
    return (await hasher.digest()) === hexOf(digest)
  } catch {
    return false // what cannot be read is as good as damaged
  } finally {
    hasher.close()
  }
}

export function disagree(link: BlobEntry, stored: StoredBlob): boolean {
  return link.size !== undefined && link.size !== stored.size
}
