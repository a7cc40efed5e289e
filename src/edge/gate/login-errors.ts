/** What clients are told of their logins, wherever they show them. */
import type { LoginUnavailable } from '../../access/caller.ts'
import { RegistryError } from '../../oci/errors.ts'

/** How soon another try is worth it. */
const retryAfterMs = 5_000

/** That is no refusal: nobody logs in anew for it. */
export function uncheckedLogin(cause: LoginUnavailable): RegistryError {
  const message = 'the login cannot be checked at the moment: try again'
  return new RegistryError('UNAVAILABLE', message, { cause, retryAfterMs })
}
