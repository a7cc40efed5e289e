/** What a client is told when the store cannot take what it pushes. */
import { RegistryError } from '../oci/errors.ts'

const full = ['ENOSPC', 'EDQUOT']

/** Any error of a push as the client may see it; those of the system name paths and stay in the log. */
export function forPusher(error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error) || !full.includes(String(error.code))) return error
  return new RegistryError(
    'STORAGE_FULL',
    'the disk of the registry is full: nothing of what it holds is lost, try again when there is room',
    { cause: error },
  )
}
