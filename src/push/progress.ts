/** Where an upload stands, which is also told to who is refused for the place of a chunk. */
import { RegistryError } from '../oci/errors.ts'
import type { Chunk } from './body.ts'

export interface Progress {
  readonly id: string
  /** Bytes received. */
  readonly offset: number
}

/** The session goes on from another place, or is in other hands; it is left as it was. */
export class UploadConflict extends RegistryError {
  override readonly name = 'UploadConflict'
  readonly progress: Progress

  constructor(message: string, progress: Progress, status?: number) {
    super('BLOB_UPLOAD_INVALID', message, status === undefined ? {} : { status })
    this.progress = progress
  }
}

/** @throws UploadConflict (416) for a chunk that does not begin where the last one ended, RegistryError SIZE_INVALID (400) */
export function assertNext({ id, offset }: Progress, chunk: Chunk | undefined): void {
  if (!chunk?.range) return
  const { first, last } = chunk.range
  if (first !== offset)
    throw new UploadConflict(`the next chunk begins at ${offset}, not at ${first}`, { id, offset })
  if (last < first) throw new UploadConflict('Content-Range ends before it begins', { id, offset })
  if (chunk.length !== undefined && chunk.length !== last - first + 1)
    throw new RegistryError('SIZE_INVALID', 'Content-Range and Content-Length tell different sizes')
}
