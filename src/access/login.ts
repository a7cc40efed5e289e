/** From what a request shows to who sends it (RFC 7617, RFC 6750). */
import { RegistryError } from '../oci/errors.ts'
import type { Clock } from '../runtime/clock.ts'
import { type UserAndPassword, userAndPassword } from './basic.ts'
import { type Caller, LoginRefused } from './caller.ts'
import type { LoginFailures } from './failures.ts'
import type { Login as IssuedLogin, Issuers } from './oidc/issuers.ts'
import { isUserName } from './passwords/htpasswd.ts'
import type { Passwords } from './passwords/passwords.ts'
import type { Session, Shown } from './session.ts'
import type { Tokens } from './tokens/tokens.ts'

export interface LoginDeps {
  readonly passwords: Passwords
  readonly issuers: Issuers
  readonly tokens: Tokens
  readonly failures: LoginFailures
  readonly clock: Clock
  /** Told of each login that was found out. */
  readonly tell: (method: LoginMethod, result: LoginResult) => void
}

/** `token`: one of ours. */
export type LoginMethod = 'password' | 'oidc' | 'token'
/** `limited`: nothing was looked at. */
export type LoginResult = 'ok' | 'refused' | 'limited' | 'unavailable'

/** How long who was let in is not asked again; a changed configuration ends it at once. */
const rememberedMs = 5 * 60_000
/** Of tokens of others: an issuer may take a key back. */
const rememberedOfIssuersMs = 60_000

export class Login {
  readonly #deps: LoginDeps

  constructor(deps: LoginDeps) {
    this.#deps = deps
  }

  /**
   * @param audience of registry tokens: our own name
   * @throws LoginRefused, LoginUnavailable; RegistryError TOOMANYREQUESTS (429) after too many failures
   */
  async identify(shown: Shown, audience: () => string): Promise<Session> {
    const { authorization = '', certificate, client } = shown
    const [, scheme = '', rest = ''] = /^(\S+)\s+(.*)$/.exec(authorization) ?? []
    const session = await this.#by(scheme.toLowerCase(), rest.trim(), { client, audience })
    const until = Math.min(session.until, this.#deps.clock.now() + rememberedMs)
    return { ...session, until, caller: { ...session.caller, certificate } }
  }

  /** `until` is that of what was shown. @throws as `identify` */
  async withPassword({ user, password }: UserAndPassword, client: string): Promise<Session> {
    const { passwords, issuers } = this.#deps
    if (issuers.has(user)) return this.#issued(client, () => issuers.verify(password, user))
    // Nobody can be called so: it is neither computed nor counted, nor remembered under a name of any length.
    if (!isUserName(user)) throw new LoginRefused('the user name is none that a user can have')
    await this.#told('password', async () => {
      if (!(await passwords.check(user, password, client)))
        throw new LoginRefused('wrong user or password', { user })
    })
    const caller: Caller = { method: 'password', user, provider: '', claims: {}, certificate: undefined }
    return { caller, until: Number.POSITIVE_INFINITY }
  }

  async #by(scheme: string, shown: string, { client, audience }: Asking): Promise<Session> {
    const { tokens } = this.#deps
    if (scheme === 'basic') return this.#shortly(await this.withPassword(basicOf(shown), client))
    if (scheme !== 'bearer') throw new LoginRefused('the Authorization header is neither Basic nor Bearer')
    // A token of ours cannot be guessed, and an expired one is no attack.
    if (tokens.isOurs(shown)) return this.#told('token', () => tokens.verify(shown, audience()))
    return this.#shortly(await this.#issued(client, () => this.#deps.issuers.verify(shown)))
  }

  #shortly(session: Session): Session {
    if (session.caller.method !== 'oidc') return session
    return { ...session, until: Math.min(session.until, this.#deps.clock.now() + rememberedOfIssuersMs) }
  }

  /**
   * A good token is taken however many others of its address fail: it cannot be guessed, and looking at one takes less
   * than a millisecond. Whom a wrong one names nobody has shown to be.
   */
  #issued(client: string, verify: () => Promise<IssuedLogin>): Promise<Session> {
    const { failures } = this.#deps
    const who = { client, user: '' }
    return this.#told('oidc', async () => {
      try {
        return await verify()
      } catch (error) {
        if (!(error instanceof LoginRefused)) throw error
        failures.assertMayTry(who)
        failures.failed(who)
        throw error
      }
    })
  }

  async #told<T>(method: LoginMethod, login: () => Promise<T>): Promise<T> {
    const { tell } = this.#deps
    try {
      const found = await login()
      tell(method, 'ok')
      return found
    } catch (error) {
      tell(method, resultOf(error))
      throw error
    }
  }
}

function resultOf(error: unknown): LoginResult {
  if (error instanceof LoginRefused) return 'refused'
  return error instanceof RegistryError ? 'limited' : 'unavailable'
}

interface Asking {
  readonly client: string
  readonly audience: () => string
}

/** @throws LoginRefused for what is none */
function basicOf(encoded: string): UserAndPassword {
  const found = userAndPassword(encoded)
  if (!found) throw new LoginRefused('the Basic credentials hold no colon')
  return found
}
