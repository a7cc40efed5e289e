/** What clients are told of an upload that does not go on. */
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'

export function mismatch(digest: Digest): RegistryError {
  return new RegistryError('DIGEST_INVALID', `the bytes are not those of ${digest}`)
}

export function unknownUpload(): RegistryError {
  return new RegistryError('BLOB_UPLOAD_UNKNOWN', 'there is no such upload here: begin a new one')
}

export function leaving(): RegistryError {
  const message = 'uploads are about to go on at another replica: try again'
  return new RegistryError('UNAVAILABLE', message, { retryAfterMs: 1_000 })
}

export function tooManyOpen(count: number): RegistryError {
  const message = `${count} uploads are open, and no more are taken on (limits.uploads)`
  return new RegistryError('TOOMANYREQUESTS', message, { retryAfterMs: 10_000 })
}
