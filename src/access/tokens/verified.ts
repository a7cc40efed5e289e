/** What of a token can be believed: its signature, its kind, for whom it is and until when. */
import { errors, type JWTHeaderParameters, jwtVerify } from 'jose'
import { type Caller, LoginRefused } from '../caller.ts'
import type { TokenKey, TokenKeys } from './keys.ts'
import type { Scope } from './scope.ts'

export const issuer = 'layover'

/** `refresh`: good for further tokens, and for nothing else. */
export type Kind = 'access' | 'refresh'

/** A request has room for a token of this length beside its other headers. */
export const mostBytes = 8192

/** How far the clocks of replicas may be apart. */
export const leewayMs = 30_000

export interface Expected {
  readonly kind: Kind
  readonly audience: string
  readonly keys: TokenKeys
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** What we put into a token beside what every token has. */
export interface Payload {
  readonly sub: string
  readonly exp: number
  readonly access?: readonly Scope[]
  readonly caller: Pick<Caller, 'method' | 'user' | 'provider' | 'claims'>
  /** Of a user of ours: ends the token with the password; of an issuer's: with what is configured of it. */
  readonly mark?: string
}

/** What `typ` says (RFC 8725 §3.11), so that none is taken for another. */
export function typeOf(kind: Kind): string {
  return kind === 'access' ? 'layover+jwt' : 'layover-refresh+jwt'
}

/**
 * What we once signed, and with which key.
 *
 * @throws LoginRefused
 */
export async function verified(
  token: string,
  { kind, audience, keys, now }: Expected,
): Promise<{ payload: Payload; key: TokenKey }> {
  if (token.length > mostBytes) throw new LoginRefused('the token is too long for one of ours')
  let key: TokenKey | undefined
  try {
    const { payload } = await jwtVerify(
      token,
      header => {
        key = keyFor(header, keys)
        return key.publicKey
      },
      {
        algorithms: ['Ed25519', 'ES256'],
        typ: typeOf(kind),
        issuer,
        audience,
        requiredClaims: ['sub', 'iat', 'nbf', 'exp', 'jti', 'caller'],
        clockTolerance: leewayMs / 1000,
        currentDate: new Date(now),
      },
    )
    if (!key) throw new LoginRefused('no key of ours signed the token')
    return { payload: payload as unknown as Payload, key } // as we made it
  } catch (error) {
    if (!(error instanceof errors.JOSEError)) throw error
    throw new LoginRefused(reasonOf(error, kind), { user: subjectOf(error), cause: error })
  }
}

function keyFor({ kid = '', alg }: JWTHeaderParameters, { byId }: TokenKeys): TokenKey {
  const key = byId.get(kid)
  if (!key) throw new LoginRefused('the token was signed with a key that is not ours, or not any more')
  if (key.algorithm !== alg) throw new LoginRefused('the token names an algorithm that its key is not for')
  return key
}

function reasonOf(error: errors.JOSEError, kind: Kind): string {
  if (error instanceof errors.JWTExpired) return 'the token has expired'
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'no key of ours signed the token'
  if (!(error instanceof errors.JWTClaimValidationFailed)) return 'the token is malformed'
  if (error.claim === 'typ') return `the token is no ${kind} token of ours`
  if (error.claim === 'aud') return 'the token is for another registry'
  if (error.claim === 'nbf') return 'the token is not valid yet'
  return `the token has a wrong ${error.claim}`
}

/** Claims are looked at once the signature is found good: only then is the token believed whose it is. */
function subjectOf(error: errors.JOSEError): string {
  const isSigned = error instanceof errors.JWTExpired || error instanceof errors.JWTClaimValidationFailed
  return isSigned ? (error.payload.sub ?? '') : ''
}
