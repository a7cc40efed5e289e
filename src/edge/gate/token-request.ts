/** What a client asks of the token endpoint, in either of its two forms: distribution's `token.md` (GET) and `oauth.md` (POST). */
import { type UserAndPassword, userAndPassword } from '../../access/basic.ts'
import { LoginRefused } from '../../access/caller.ts'
import { parseScopes, type Scope } from '../../access/tokens/scope.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Body } from '../../push/body.ts'
import { wholeOf } from '../../stream/whole.ts'
import type { Exchange } from '../exchange.ts'
import { assertFramed, requestBody } from '../writes/body.ts'

export interface TokenRequest {
  /** Undefined: nothing. */
  readonly shown: UserAndPassword | { readonly refreshToken: string } | undefined
  readonly scopes: readonly Scope[]
  /** Whom the token is for; undefined where the client does not say. */
  readonly service: string | undefined
  /** A refresh token is wanted too. */
  readonly offline: boolean
}

/** An OIDC token may stand in it, and nothing else that is long. */
const mostBodyBytes = 64 * 1024
/** For the whole body to arrive. */
const bodyMs = 10_000

/**
 * @throws LoginRefused for a credential in a form that nobody has
 * @throws RegistryError for another method (405), and for a form that cannot be understood (400, 413)
 */
export async function readTokenRequest(exchange: Exchange): Promise<TokenRequest> {
  const { request, query } = exchange
  if (request.method === 'GET') return { ...asked(query), shown: basicIn(request.headers.authorization) }
  if (request.method === 'POST') {
    const form = await readForm(exchange)
    return { ...asked(form), shown: grantIn(form) }
  }
  const headers = { allow: 'GET, POST' }
  throw new RegistryError('UNSUPPORTED', 'tokens are asked for with GET or POST', { headers })
}

function asked(parameters: URLSearchParams): Omit<TokenRequest, 'shown'> {
  return {
    scopes: parseScopes(parameters.getAll('scope')),
    service: parameters.get('service') || undefined, // ggcr sends an empty one
    offline: parameters.get('offline_token') === 'true' || parameters.get('access_type') === 'offline',
  }
}

/** RFC 7617 §2. @throws LoginRefused */
function basicIn(authorization: string | undefined): UserAndPassword | undefined {
  if (authorization === undefined) return undefined
  const [, encoded = ''] = /^basic +([a-z0-9+/_-]+=*) *$/i.exec(authorization) ?? []
  const found = userAndPassword(encoded)
  if (!found) throw new LoginRefused('the Authorization header holds no user and password')
  return found.user === '' && found.password === '' ? undefined : found
}

/** RFC 6749 §4.3.2 and §6. Clients that understand only GET try that after the 400. */
function grantIn(form: URLSearchParams): TokenRequest['shown'] {
  const value = (name: string) => {
    const found = form.get(name) ?? ''
    if (found === '') throw malformed(`the form has no ${name}`)
    return found
  }
  const type = value('grant_type')
  if (type === 'password') return { user: value('username'), password: value('password') }
  if (type === 'refresh_token') return { refreshToken: value('refresh_token') }
  throw malformed('grant_type may be password or refresh_token')
}

async function readForm(exchange: Exchange): Promise<URLSearchParams> {
  const type = exchange.request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
  if (type !== 'application/x-www-form-urlencoded')
    throw malformed('the body has to be a form (application/x-www-form-urlencoded)')
  assertFramed(exchange)
  const slowest = (mostBodyBytes * 1000) / bodyMs // nothing less counts, so that the time is for all of it
  return new URLSearchParams(
    (await readAll(requestBody(exchange, { stalledMs: bodyMs, slowest }))).toString(),
  )
}

async function readAll({ length = 0, chunks }: Body): Promise<Buffer> {
  if (length > mostBodyBytes) throw tooLarge()
  const whole = await wholeOf(chunks, mostBodyBytes).catch((cause: unknown) => {
    throw new RegistryError('UNSUPPORTED', 'the form did not arrive', { status: 400, cause })
  })
  if (!whole) throw tooLarge()
  return whole
}

function malformed(message: string): RegistryError {
  return new RegistryError('UNSUPPORTED', message, { status: 400 })
}

function tooLarge(): RegistryError {
  return new RegistryError('UNSUPPORTED', `the form has more than ${mostBodyBytes} bytes`, { status: 413 })
}
