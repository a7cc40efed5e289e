/** From what a request shows to who sends it (RFC 7617, RFC 6750). */
import type { Clock } from '../runtime/clock.ts'
import { type Caller, LoginRefused, nameOf } from './caller.ts'
import type { LoginFailures } from './failures.ts'
import type { Issuers } from './oidc/issuers.ts'
import type { Passwords } from './passwords/passwords.ts'
import type { Session, Shown } from './session.ts'
import type { Tokens } from './tokens/tokens.ts'

export interface LoginDeps {
  readonly passwords: Passwords
  readonly issuers: Issuers
  readonly tokens: Tokens
  readonly failures: LoginFailures
  readonly clock: Clock
}

export interface UserAndPassword {
  readonly user: string
  readonly password: string
}

/** How long a password is not asked about again; a changed one ends it at once. */
const passwordMs = 5 * 60_000

export class Login {
  readonly #deps: LoginDeps

  constructor(deps: LoginDeps) {
    this.#deps = deps
  }

  /**
   * @param audience of registry tokens: our own name
   * @throws LoginRefused, LoginUnavailable; RegistryError TOOMANYREQUESTS (429) after too many failures
   */
  async identify({ authorization = '', certificate, client }: Shown, audience: string): Promise<Session> {
    const [, scheme = '', rest = ''] = /^(\S+)\s+(.*)$/.exec(authorization) ?? []
    const session = await this.#by(scheme.toLowerCase(), rest.trim(), { client, audience })
    return { ...session, caller: { ...session.caller, certificate } }
  }

  /** @throws as `identify` */
  async withPassword({ user, password }: UserAndPassword, client: string): Promise<Session> {
    const { passwords, issuers, clock } = this.#deps
    if (issuers.has(user)) return this.#counted({ client, user: '' }, () => issuers.verify(password, user))
    const caller: Caller = { method: 'password', user, provider: '', claims: {}, certificate: undefined }
    return this.#counted({ client, user }, async () => {
      if (!(await passwords.check(user, password))) throw new LoginRefused('wrong user or password', { user })
      return { caller, until: clock.now() + passwordMs }
    })
  }

  async #by(scheme: string, shown: string, { client, audience }: Asking): Promise<Session> {
    const { tokens, issuers } = this.#deps
    if (scheme === 'basic') return this.withPassword(userAndPassword(shown), client)
    if (scheme !== 'bearer') throw new LoginRefused('the Authorization header is neither Basic nor Bearer')
    // A token of ours cannot be guessed, and an expired one is no attack.
    if (tokens.isOurs(shown)) return tokens.verify(shown, audience)
    return this.#counted({ client, user: '' }, () => issuers.verify(shown))
  }

  /** After too many failures nothing is looked at. */
  async #counted(who: { client: string; user: string }, task: () => Promise<Session>): Promise<Session> {
    const { failures } = this.#deps
    failures.assertMayTry(who)
    try {
      const session = await task()
      failures.succeeded({ ...who, user: nameOf(session.caller) ?? '' })
      return session
    } catch (error) {
      if (error instanceof LoginRefused) failures.failed(who)
      throw error
    }
  }
}

interface Asking {
  readonly client: string
  readonly audience: string
}

/** @throws LoginRefused for what is no base64 of `user:password` in UTF-8 (RFC 7617 §2) */
export function userAndPassword(encoded: string): UserAndPassword {
  const text = Buffer.from(encoded, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  if (colon < 0) throw new LoginRefused('the Basic credentials hold no colon')
  return { user: text.slice(0, colon), password: text.slice(colon + 1) }
}
