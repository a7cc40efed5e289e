/** What a client is told whose push does not fit into its namespace. */
import { RegistryError } from '../oci/errors.ts'

export interface Excess {
  readonly namespace: string
  readonly what: 'bytes' | 'tags'
  readonly used: number
  readonly limit: number
  /** What the push needs. */
  readonly more: number
}

/** 403: clients give up at once and show the message, where other statuses have them try again. */
export function exceeded({ namespace, what, used, limit, more }: Excess): RegistryError {
  const message = `the namespace ${namespace} has ${used} of ${limit} ${what} and the push needs ${more} more: delete what is not needed, or have local[].quota.${what} raised`
  return new RegistryError('DENIED', message, { detail: { namespace, what, used, limit, more } })
}
