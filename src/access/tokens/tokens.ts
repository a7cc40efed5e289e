/** Registry tokens: what `/token` hands out and later requests show. They freeze who asks and what was granted. */
import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto'
import { decodeProtectedHeader, SignJWT } from 'jose'
import { RegistryError } from '../../oci/errors.ts'
import type { Clock } from '../../runtime/clock.ts'
import { type Caller, LoginRefused, nameOf } from '../caller.ts'
import type { TokenOptions } from '../options.ts'
import type { TokenKey, TokenKeys } from './keys.ts'
import type { Scope } from './scope.ts'
import { issuer, type Kind, leewayMs, mostBytes, type Payload, typeOf, verified } from './verified.ts'

export interface TokensDeps {
  /** Those of now: it may be asked anew each time. */
  readonly keys: () => TokenKeys
  readonly lives: () => Pick<TokenOptions, 'lifeMs' | 'refreshMs'>
  /** What is stored of the user's password; undefined where we know no such user. */
  readonly hashOf: (user: string) => string | undefined
  /** What is configured of an issuer; undefined where there is none of that name. */
  readonly termsOf: (provider: string) => string | undefined
  readonly clock: Pick<Clock, 'now'>
}

/** Whom a token is for, and at which service of ours it is good. */
export interface Grant {
  readonly caller: Caller
  readonly audience: string
  readonly access: readonly Scope[]
  /** When what was shown for it ends, in milliseconds since the epoch. */
  readonly until?: number | undefined
}

export interface Issued {
  readonly token: string
  /** Seconds. */
  readonly expiresIn: number
  /** Milliseconds since the epoch. */
  readonly issuedAt: number
}

export interface Shown {
  readonly caller: Caller
  readonly access: readonly Scope[]
  /** From when on it is refused, in milliseconds since the epoch. */
  readonly until: number
}

interface Making extends Omit<Grant, 'access'> {
  readonly access?: readonly Scope[]
  readonly lifeMs: number
}

export class Tokens {
  readonly #deps: TokensDeps

  constructor(deps: TokensDeps) {
    this.#deps = deps
  }

  /**
   * It ends no later than what was shown for it.
   *
   * @throws LoginRefused when that has ended, or the user or the issuer is gone
   * @throws RegistryError DENIED when the token would be too long for a header
   */
  issue(grant: Grant): Promise<Issued> {
    return this.#make('access', { ...grant, lifeMs: this.#deps.lives().lifeMs })
  }

  /** What a client may show for tokens instead of the password; undefined for who has shown none. */
  async issueRefresh({ caller, audience }: Pick<Grant, 'caller' | 'audience'>): Promise<string | undefined> {
    if (caller.method !== 'password') return undefined
    const lifeMs = this.#deps.lives().refreshMs
    const { token } = await this.#make('refresh', { caller, audience, lifeMs })
    return token
  }

  /** @throws LoginRefused */
  async verify(token: string, audience: string): Promise<Shown> {
    return this.#verify('access', token, audience)
  }

  /** @throws LoginRefused */
  async verifyRefresh(token: string, audience: string): Promise<Omit<Shown, 'access'>> {
    const { caller, until } = await this.#verify('refresh', token, audience)
    return { caller, until }
  }

  /** Whether it says so itself, which tells it from passwords and other issuers' tokens. */
  isOurs(token: string): boolean {
    if (token.length > mostBytes || !token.startsWith('ey')) return false
    try {
      const { typ } = decodeProtectedHeader(token)
      return typ === typeOf('access') || typ === typeOf('refresh')
    } catch {
      return false // no token at all
    }
  }

  async #make(kind: Kind, { caller, audience, access, until, lifeMs }: Making): Promise<Issued> {
    const { signing } = this.#deps.keys()
    const issuedAt = Math.floor(this.#deps.clock.now() / 1000)
    const endsAt = Math.floor(Math.min(issuedAt + lifeMs / 1000, (until ?? Number.POSITIVE_INFINITY) / 1000))
    if (endsAt <= issuedAt) throw new LoginRefused('what was shown for the token has expired', caller)
    const { method, user, provider, claims } = caller
    const mark = this.#markOf(caller, signing)
    const payload = {
      ...(access === undefined ? {} : { access }),
      ...(mark === undefined ? {} : { mark }),
      caller: { method, user, provider, claims },
    }
    const token = await new SignJWT(payload)
      .setProtectedHeader({ alg: signing.algorithm, kid: signing.id, typ: typeOf(kind) })
      .setIssuer(issuer)
      .setSubject(nameOf(caller) ?? '')
      .setAudience(audience)
      .setIssuedAt(issuedAt)
      .setNotBefore(issuedAt)
      .setExpirationTime(endsAt)
      .setJti(randomUUID())
      .sign(signing.privateKey)
    if (token.length > mostBytes) throw tooLong(token.length)
    return { token, expiresIn: endsAt - issuedAt, issuedAt: issuedAt * 1000 }
  }

  async #verify(kind: Kind, token: string, audience: string): Promise<Shown> {
    const { keys, clock } = this.#deps
    const found = await verified(token, { kind, audience, keys: keys(), now: clock.now() })
    const { sub, exp, caller, access = [], mark } = found.payload
    const expected = this.#markOf(caller, found.key)
    if (expected !== undefined && !isSame(mark, expected))
      throw new LoginRefused(`${groundOf(caller)} was changed after the token was issued`, { user: sub })
    const { method, user, provider, claims } = caller
    return {
      caller: { method, user, provider, claims, certificate: undefined },
      access,
      until: exp * 1000 + leewayMs,
    }
  }

  /** Of what the login rests on here; undefined: on nothing. @throws LoginRefused where that is gone */
  #markOf(caller: Payload['caller'], { markKey }: TokenKey): string | undefined {
    const { method, user, provider } = caller
    if (method !== 'password' && method !== 'oidc') return undefined
    const { hashOf, termsOf } = this.#deps
    const [name, terms] = method === 'password' ? [user, hashOf(user)] : [provider, termsOf(provider)]
    if (terms === undefined) {
      const what = method === 'password' ? 'user' : 'issuer'
      throw new LoginRefused(`there is no such ${what} any more`, { user: nameOf(caller) ?? '' })
    }
    return createHmac('sha256', markKey)
      .update(JSON.stringify([name, terms]))
      .digest('base64url')
  }
}

function groundOf({ method }: Payload['caller']): string {
  return method === 'password' ? 'the password' : 'what is configured of the issuer'
}

function isSame(shown: string | undefined, expected: string): boolean {
  const [one, other] = [Buffer.from(shown ?? ''), Buffer.from(expected)]
  return one.length === other.length && timingSafeEqual(one, other)
}

function tooLong(bytes: number): RegistryError {
  return new RegistryError(
    'DENIED',
    `the token would have ${bytes} bytes, and ${mostBytes} are the most that a header takes: ask for fewer repositories at once, or let the provider put less into its tokens`,
  )
}
