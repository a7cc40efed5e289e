/** What a 401 says about how to log in: one `WWW-Authenticate` for each, as all clients read it. */
import { formatScopes, type Scope } from './tokens/scope.ts'

export interface Challenge {
  readonly mode: 'bearer' | 'basic'
  /** URL of the token endpoint. */
  readonly realm: string
  /** The host that the client speaks to. */
  readonly service: string
  /** What a token is wanted for; none at `/v2/`. */
  readonly scope?: readonly Scope[]
  /** Of a token that was shown (RFC 6750 §3.1). */
  readonly error?: 'insufficient_scope' | 'invalid_token' | undefined
}

/** The value of the header. */
export function challenge({ mode, realm, service, scope = [], error }: Challenge): string {
  if (mode === 'basic') return `Basic realm=${quoted(service)}, charset="UTF-8"` // RFC 7617 §2.1
  return [
    `Bearer realm=${quoted(realm)}`,
    `service=${quoted(service)}`,
    ...(scope.length === 0 ? [] : [`scope=${quoted(formatScopes(scope))}`]),
    ...(error === undefined ? [] : [`error=${quoted(error)}`]),
  ].join(',')
}

/** A quoted string (RFC 9110 §5.6.4). What no header can carry stands in no name and no URL of ours. */
function quoted(text: string): string {
  return `"${text.replaceAll(/[^\x20-\x7e]/g, '').replaceAll(/["\\]/g, String.raw`\$&`)}"`
}
