/** Whether a stored blob is what its name says. */
import type { BlobEntry } from '../index/index.ts'
import { algorithmOf, type Digest } from '../oci/digest.ts'
import type { StoredBlob } from '../store/contents.ts'
import { digestOfFile } from '../store/files/sound.ts'

/** Off this thread: the file may be large. */
export async function isSound(digest: Digest, stored: StoredBlob): Promise<boolean> {
  try {
    return (await digestOfFile(algorithmOf(digest), stored)) === digest
  } catch {
    return false // what cannot be read is as good as damaged
  }
}

/** A link need not know a size: then any will do. */
export function disagree(link: BlobEntry, stored: Pick<BlobEntry, 'size'>): boolean {
  return link.size !== undefined && link.size !== stored.size
}
