/** One entry of `access.oidc`: which tokens of its issuer are logins, and whose. */
import { errors, type JWTPayload, type JWTVerifyOptions, jwtVerify } from 'jose'
import type { Clock } from '../../runtime/clock.ts'
import { type Caller, LoginRefused, LoginUnavailable, nameOf } from '../caller.ts'
import type { OidcOptions } from '../options.ts'
import { endOf, requireClaims, userOf } from './claims.ts'
import { type KeySet, signatureAlgorithms } from './key-set.ts'
import type { Keys } from './keys.ts'
import type { UnverifiedToken } from './token.ts'

/** Of a token that names no key. */
const maxKeysTried = 16

export interface Login {
  readonly caller: Caller
  /** When the token ends, clocks that are apart included; epoch milliseconds. */
  readonly until: number
}

export class Provider {
  readonly name: string
  readonly issuer: string
  /** Which tokens are logins, and whose: others than before do not speak for who came by those. */
  readonly terms: string
  readonly #options: OidcOptions
  readonly #keys: Keys
  readonly #clock: Clock

  constructor(options: OidcOptions, keys: Keys, clock: Clock) {
    this.name = options.name
    this.issuer = options.issuer
    this.terms = termsOf(options)
    this.#options = options
    this.#keys = keys
    this.#clock = clock
  }

  /** @throws LoginRefused, LoginUnavailable */
  async verify(token: UnverifiedToken): Promise<Login> {
    try {
      return this.#login(await this.#verified(token))
    } catch (error) {
      if (error instanceof LoginUnavailable) throw error
      // No cause: jose's errors hold the claims.
      const reason = error instanceof Error ? error.message : String(error)
      throw new LoginRefused(`${this.name}: ${reason}`, { user: this.#claimedUser(token) })
    }
  }

  #login(claims: JWTPayload): Login {
    const { claims: required, userClaim, skewMs } = this.#options
    const until = endOf(claims, { nowMs: this.#clock.now(), skewMs })
    requireClaims(claims, required)
    const user = userOf(claims, userClaim)
    return { caller: this.#caller(user, claims), until }
  }

  #caller(user: string, claims: JWTPayload): Caller {
    return { method: 'oidc', user, provider: this.name, claims, certificate: undefined }
  }

  async #verified(token: UnverifiedToken): Promise<JWTPayload> {
    let keys = await this.#keys.current()
    for (;;) {
      try {
        return await verifyWith(keys, token, this.#expectations())
      } catch (error) {
        if (!mayBeNewKey(error, token)) throw error
        const newer = await this.#keys.newerThan(keys)
        if (!newer) throw error
        keys = newer
      }
    }
  }

  #expectations(): JWTVerifyOptions {
    const { issuer, audience, algorithms, skewMs } = this.#options
    return {
      issuer,
      audience: [...audience],
      algorithms: signatureAlgorithms.filter(algorithm => algorithms.includes(algorithm)),
      requiredClaims: ['exp'],
      clockTolerance: skewMs / 1000,
      currentDate: new Date(this.#clock.now()),
    }
  }

  #claimedUser({ claims }: UnverifiedToken): string {
    try {
      return nameOf(this.#caller(userOf(claims, this.#options.userClaim), claims)) ?? ''
    } catch {
      return '' // it names nobody
    }
  }
}

function termsOf({ issuer, audience, jwks, jwksUrl, claims, userClaim, algorithms }: OidcOptions): string {
  return JSON.stringify([issuer, audience, jwks, jwksUrl, claims, userClaim, algorithms])
}

async function verifyWith(
  keys: KeySet,
  { text }: UnverifiedToken,
  options: JWTVerifyOptions,
): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(text, keys, options)
    return payload
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
    return await verifyWithAny(error, text, options)
  }
}

/** Of the keys that fit a token which names none, or which have one name. */
async function verifyWithAny(
  keys: errors.JWKSMultipleMatchingKeys,
  text: string,
  options: JWTVerifyOptions,
): Promise<JWTPayload> {
  let tried = 0
  for await (const key of keys) {
    try {
      const { payload } = await jwtVerify(text, key, options)
      return payload
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error
    }
    tried += 1
    if (tried === maxKeysTried) break
  }
  throw new errors.JWSSignatureVerificationFailed()
}

/** Signed with a key that we have not seen, as far as that can be told. */
function mayBeNewKey(error: unknown, { keyId }: UnverifiedToken): boolean {
  if (error instanceof errors.JWKSNoMatchingKey) return true
  return keyId === undefined && error instanceof errors.JWSSignatureVerificationFailed
}
