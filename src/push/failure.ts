/** What a client is told when the store cannot take what it pushes. */
import { RegistryError } from '../oci/errors.ts'

const full = ['ENOSPC', 'EDQUOT']
const unwritable = ['EROFS', 'EACCES', 'EPERM', 'EIO']

/** Any error of a push as the client may see it; those of the system name paths and stay in the log. */
export function forPusher(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (full.includes(code)) {
    const message =
      'the disk of the registry is full: nothing of what it holds is lost, try again when there is room'
    return new RegistryError('STORAGE_FULL', message, { cause: error })
  }
  if (!unwritable.includes(code)) return error
  const message = 'the disk of the registry cannot be written: nothing of what it holds is lost'
  return new RegistryError('UNAVAILABLE', message, { cause: error, retryAfterMs: 30_000 })
}
