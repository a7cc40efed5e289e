/** Where a client gets tokens for the registry that it speaks to, and what that registry is called in them. */
import type { TLSSocket } from 'node:tls'
import { RegistryError } from '../oci/errors.ts'
import type { Exchange } from './exchange.ts'

export const tokenPath = '/token'

export interface Realm {
  /** URL of the token endpoint. */
  readonly realm: string
  /** Whom tokens are for: the host, and the port where it is no usual one. */
  readonly service: string
}

const hostForm = /^(?:[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_.])?|\[[0-9a-f:.]+\])(?::\d{1,5})?$/

/**
 * At the address that is configured, or else at the one that the client used: some refuse a realm anywhere else.
 *
 * @param publicUrl without a trailing slash
 * @throws RegistryError (400) where the request does not say whom it is for
 */
export function realmOf(
  exchange: Pick<Exchange, 'request'>,
  { publicUrl }: { readonly publicUrl: string | undefined },
): Realm {
  if (publicUrl !== undefined) return { realm: `${publicUrl}${tokenPath}`, service: new URL(publicUrl).host }
  const { request } = exchange
  const host = hostIn(exchange)
  const scheme = (request.socket as Partial<TLSSocket>).encrypted ? 'https' : 'http'
  return { realm: `${scheme}://${host}${tokenPath}`, service: host }
}

/** In lower case. */
function hostIn({ request }: Pick<Exchange, 'request'>): string {
  const { headersDistinct, url = '' } = request
  const authority = /^https?:\/\/([^/?]*)/i.exec(url)?.[1] // goes before the header (RFC 9112 §3.2.2)
  const [host, ...more] = authority === undefined ? (headersDistinct.host ?? []) : [authority]
  const name = host?.toLowerCase() ?? ''
  if (more.length === 0 && hostForm.test(name)) return name
  throw new RegistryError('UNSUPPORTED', 'the request has no Host header, or one that is no host', {
    status: 400,
  })
}
