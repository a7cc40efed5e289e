/** From a registry's challenge to the `Authorization` of the next request, within the bounds of what may be trusted. */
import type { Logger } from '../../observe/log.ts'
import { basicHeader, type Credential, isCallers } from '../credentials/credential.ts'
import { failureOf, type Subject } from '../transport/failure.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import { mayHavePassword, parseRealm } from './realm.ts'
import type { TokenAsk, Tokens } from './token.ts'

/** What a registry wants to see, as learned from its first answer. */
export type Demand =
  | { scheme: 'basic' }
  | { scheme: 'bearer'; realm: URL; service: string | undefined; scope: string }

export interface Grant {
  authorization: string
  anonymous: boolean
  /** The credential itself, and no token that a realm gave for it. */
  isCredential: boolean
  /** A password of the caller's: who refuses it refuses him. */
  isCallersPassword?: boolean
  /** From an earlier request: a refusal may mean that it is no longer good. */
  reused: boolean
  /** Why no credential was used although there is one. */
  hint?: string
  drop(): void
}

/** The bearer challenge where there is a usable one; the resource's own scope, or the one every registry knows. */
export function demandOf(
  header: string | readonly string[] | undefined,
  registry: URL,
  repository: string,
): Demand | undefined {
  const challenges = parseChallenges(header)
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
  const realm = parseRealm(bearer?.params.get('realm'), registry)
  if (bearer && realm) return { scheme: 'bearer', realm, ...audience(bearer, repository) }
  return challenges.some(({ scheme }) => scheme === 'basic') ? { scheme: 'basic' } : undefined
}

function audience({ params }: Challenge, repository: string): { service: string | undefined; scope: string } {
  const scope = params.get('scope')
  return { service: params.get('service'), scope: scope ? scope : `repository:${repository}:pull` }
}

export class Authorizer {
  readonly #tokens: Tokens
  readonly #registry: URL
  readonly #authRealms: readonly string[]
  readonly #log: Logger
  readonly #warned = new Set<string>()

  constructor(deps: { tokens: Tokens; registry: URL; authRealms: readonly string[]; log: Logger }) {
    this.#tokens = deps.tokens
    this.#registry = deps.registry
    this.#authRealms = deps.authRealms
    this.#log = deps.log
  }

  /** @throws UpstreamError denied where nothing of ours answers the demand, or what the token realm says */
  async grant(
    demand: Demand,
    credential: Credential | undefined,
    subject: Subject,
    { mayBeExpired }: Pick<TokenAsk, 'mayBeExpired'>,
  ): Promise<Grant> {
    if (credential?.kind === 'bearer') return bearerGrant(credential.token)
    if (demand.scheme === 'basic') return basicGrant(credential, subject)
    const trusted = mayHavePassword(demand.realm, this.#registry, this.#authRealms)
    const { scheme: _, ...audience } = demand
    const ask: TokenAsk = { ...audience, credential: trusted ? credential : undefined, mayBeExpired }
    const hint = credential && !trusted ? this.#distrust(demand.realm, subject) : undefined
    const token = await this.#tokens.get(ask, subject).catch((error: unknown) => {
      throw hint === undefined ? error : withHint(error, subject, hint)
    })
    return {
      authorization: `Bearer ${token.value}`,
      anonymous: ask.credential === undefined,
      isCredential: false,
      reused: token.reused,
      ...(hint === undefined ? {} : { hint }),
      drop: () => this.#tokens.drop(ask, token.value),
    }
  }

  /** Said once for each realm: the operator must decide, and the answer is one line of configuration. */
  #distrust({ host, protocol }: URL, { upstream }: Subject): string {
    const advice =
      protocol === 'https:' || this.#registry.protocol === 'http:'
        ? `add ${host} to authRealms of ${upstream} to allow it`
        : 'it is not encrypted'
    const hint = `the credential was not sent to the token realm ${host}: ${advice}`
    if (this.#warned.has(host) || this.#warned.size > maxWarnings) return hint
    this.#warned.add(host)
    this.#log.warn({ upstream, realm: host }, hint)
    return hint
  }
}

/** An upstream may name as many realms as it likes; the log shall not grow with them. */
const maxWarnings = 100

export function bearerGrant(token: string): Grant {
  return credentialGrant(`Bearer ${token}`)
}

function credentialGrant(authorization: string): Grant {
  return { authorization, anonymous: false, isCredential: true, reused: false, drop: () => {} }
}

function basicGrant(credential: Credential | undefined, subject: Subject): Grant {
  if (credential?.kind === 'basic')
    return { ...credentialGrant(basicHeader(credential)), isCallersPassword: isCallers(credential) }
  const message = `${subject.upstream} asks for a user name and password for ${subject.text}, and none is configured`
  throw failureOf(subject, 'denied', message, { upstreamStatus: 401 })
}

/** An anonymous refusal would read like "no such repository", although our own caution is the reason. */
function withHint(error: unknown, subject: Subject, hint: string): unknown {
  const refused = error instanceof Error && 'failure' in error && error.failure === 'hidden'
  return refused ? failureOf(subject, 'denied', `${error.message}; ${hint}`, { cause: error }) : error
}
