/** Where an upload stands, which is also told to who is refused for the place of a chunk. */
import { RegistryError } from '../oci/errors.ts'

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
