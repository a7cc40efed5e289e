/** Where a client gets tokens for the registry that it speaks to, and what that registry is called in them. */

import type { Exchange } from '../exchange.ts'
import { originOf } from './client-address.ts'

export const tokenPath = '/token'

export interface Realm {
  /** URL of the token endpoint. */
  readonly realm: string
  /** Whom tokens are for: the host, and the port where it is no usual one. */
  readonly service: string
}

/**
 * At the address that is configured, or else at the one that the client used: some refuse a realm anywhere else.
 *
 * @param publicUrl without a trailing slash
 */
export function realmOf(
  exchange: Pick<Exchange, 'request' | 'proxied' | 'secure'>,
  { publicUrl }: { readonly publicUrl: string | undefined },
): Realm {
  if (publicUrl !== undefined) return { realm: `${publicUrl}${tokenPath}`, service: new URL(publicUrl).host }
  const { scheme, host } = originOf(exchange)
  return { realm: `${scheme}://${host.toLowerCase()}${tokenPath}`, service: host.toLowerCase() }
}
