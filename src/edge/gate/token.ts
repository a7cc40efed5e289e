/** The token endpoint: who shows a password, or a token of another kind, or nothing, gets a token for what it may do. */
import type { UserAndPassword } from '../../access/basic.ts'
import { type Caller, LoginRefused, LoginUnavailable, nameOf } from '../../access/caller.ts'
import { challenge } from '../../access/challenge.ts'
import { formatScopes, type Scope } from '../../access/tokens/scope.ts'
import type { Tokens } from '../../access/tokens/tokens.ts'
import { RegistryError } from '../../oci/errors.ts'
import { type Answer, json } from '../answer.ts'
import { errorAnswer } from '../error-answer.ts'
import type { Exchange } from '../exchange.ts'
import { noteRefused } from './audit.ts'
import { uncheckedLogin } from './login-errors.ts'
import { readTokenRequest, type TokenRequest } from './token-request.ts'

export interface TokenDeps {
  readonly tokens: Pick<Tokens, 'issue' | 'issueRefresh' | 'verifyRefresh' | 'isOurs'>
  /**
   * Who it is. @param shown undefined: nothing
   * @throws LoginRefused, LoginUnavailable, and RegistryError for whom nothing is looked at now
   */
  readonly login: (shown: UserAndPassword | undefined, exchange: Exchange) => Promise<LoggedIn>
  /** What of these the caller may do: a part of them, or nothing. */
  readonly grants: (caller: Caller, scopes: readonly Scope[], exchange: Exchange) => Promise<readonly Scope[]>
  /** What we are called where the client asks. @throws RegistryError (400) when it does not say where that is */
  readonly service: (exchange: Exchange) => string
}

export interface LoggedIn {
  readonly caller: Caller
  /** When what was shown ends, in milliseconds since the epoch. */
  readonly until?: number | undefined
}

export async function answerToken(exchange: Exchange, deps: TokenDeps): Promise<Answer> {
  const answer = await grant(exchange, deps).catch((error: unknown) =>
    errorAnswer(forClient(error, exchange, deps), exchange.facts),
  )
  return { ...answer, headers: { ...answer.headers, 'cache-control': 'no-store' } } // RFC 6749 §5.1
}

async function grant(exchange: Exchange, deps: TokenDeps): Promise<Answer> {
  const audience = deps.service(exchange)
  const { shown, scopes, service = audience, offline } = await readTokenRequest(exchange)
  if (service.toLowerCase() !== audience)
    throw new RegistryError(
      'UNSUPPORTED',
      `tokens for ${audience} are given here, and for no other service`,
      {
        status: 400,
      },
    )
  const { caller, until, refreshToken } = await logIn({ shown, audience, exchange, deps })
  exchange.facts.user = nameOf(caller)
  const access = await deps.grants(caller, scopes, exchange)
  const { token, expiresIn, issuedAt } = await deps.tokens.issue({ caller, audience, access, until })
  const refresh = offline
    ? (refreshToken ?? (await deps.tokens.issueRefresh({ caller, audience })))
    : undefined
  return json({
    token,
    access_token: token,
    scope: formatScopes(access),
    expires_in: expiresIn,
    issued_at: new Date(issuedAt).toISOString(),
    ...(refresh === undefined ? {} : { refresh_token: refresh }),
  })
}

interface Showing extends Pick<TokenRequest, 'shown'> {
  readonly audience: string
  readonly exchange: Exchange
  readonly deps: TokenDeps
}

/** With the refresh token, where one was shown: it stays good. */
function logIn({ shown, audience, exchange, deps }: Showing): Promise<LoggedIn & { refreshToken?: string }> {
  const { tokens } = deps
  const redeem = async (refreshToken: string) => ({
    ...(await tokens.verifyRefresh(refreshToken, audience)),
    refreshToken,
  })
  if (shown && 'refreshToken' in shown) return redeem(shown.refreshToken)
  // Who knows no other way sends it as a password, with `<token>`, zeros or nothing as the user.
  if (shown && tokens.isOurs(shown.password)) return redeem(shown.password)
  return deps.login(shown, exchange)
}

/** A client is not told what was wrong with its credential; the log is. */
function forClient(cause: unknown, exchange: Exchange, deps: TokenDeps): unknown {
  if (cause instanceof LoginUnavailable) return uncheckedLogin(cause)
  if (!(cause instanceof LoginRefused)) return cause
  noteRefused(exchange, cause)
  const service = deps.service(exchange)
  const headers = { 'www-authenticate': challenge({ mode: 'basic', realm: service, service }) }
  return new RegistryError('UNAUTHORIZED', 'the user name, the password or the token is wrong', {
    cause,
    headers,
  })
}
