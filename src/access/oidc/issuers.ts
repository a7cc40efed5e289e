/** OIDC tokens as logins: of several issuers, each known by its keys. OpenID Connect Core 1.0 §3.1.3.7. */
import type { Logger } from '../../observe/log.ts'
import type { Clock } from '../../runtime/clock.ts'
import { LoginRefused, LoginUnavailable } from '../caller.ts'
import type { OidcOptions } from '../options.ts'
import { FetchedKeys, type Keys, StaticKeys } from './keys.ts'
import { type Login, Provider } from './provider.ts'
import { readToken } from './token.ts'

export type { Login } from './provider.ts'

interface Deps {
  readonly clock: Clock
  readonly log: Logger
  /** Those of the configuration before this one: keys that were got are used on, also while the issuer is out. */
  readonly before?: Issuers
}

export class Issuers {
  readonly #providers: readonly Provider[]
  /** Providers of one issuer share its keys, and so what it is asked. */
  readonly #keys = new Map<string, Keys>()

  /** Asks nobody. @throws KeySetInvalid */
  constructor(options: readonly OidcOptions[], deps: Deps) {
    this.#providers = options.map(entry => new Provider(entry, this.#keysOf(entry, deps), deps.clock))
  }

  /** Whether a Basic user name means a token of this provider as its password. */
  has(provider: string): boolean {
    return this.#providers.some(({ name }) => name === provider)
  }

  /** What is configured of a provider; undefined where there is none of that name. */
  termsOf(provider: string): string | undefined {
    return this.#providers.find(({ name }) => name === provider)?.terms
  }

  /**
   * @param provider undefined: whichever issuer the token names. Providers of one issuer are tried in order.
   * @throws LoginRefused
   * @throws LoginUnavailable when keys cannot be got
   */
  async verify(text: string, provider?: string): Promise<Login> {
    const token = readToken(text)
    const refusals: LoginRefused[] = []
    let unavailable: LoginUnavailable | undefined
    for (const candidate of this.#candidates(token.claims.iss, provider)) {
      try {
        return await candidate.verify(token)
      } catch (error) {
        if (error instanceof LoginRefused) refusals.push(error)
        else if (error instanceof LoginUnavailable) unavailable = error
        else throw error
      }
    }
    throw unavailable ?? refusalOf(refusals)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#keys.values()].map(keys => keys.close()))
  }

  #candidates(issuer: string | undefined, provider: string | undefined): Provider[] {
    return this.#providers
      .filter(({ name }) => provider === undefined || name === provider)
      .filter(candidate => candidate.issuer === issuer)
  }

  #keysOf(entry: OidcOptions, { before, ...deps }: Deps): Keys {
    const { issuer, jwks, jwksUrl, ca } = entry
    const source = JSON.stringify([issuer, jwks, jwksUrl, ca])
    const known = this.#keys.get(source)
    if (known) return known
    const past = before === undefined ? undefined : before.#keys.get(source)
    const keys =
      jwks === undefined
        ? new FetchedKeys(entry, deps, past instanceof FetchedKeys ? past : undefined)
        : new StaticKeys(jwks)
    this.#keys.set(source, keys)
    return keys
  }
}

function refusalOf(refusals: readonly LoginRefused[]): LoginRefused {
  const [first] = refusals
  if (!first)
    return new LoginRefused('the token is of an issuer that is not configured, or not for this provider')
  return new LoginRefused(refusals.map(({ message }) => message).join('; '), { user: first.user })
}
