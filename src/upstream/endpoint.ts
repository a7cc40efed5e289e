/** One URL of an upstream: requests for a repository's objects there, with the authorization it turns out to need. */
import type { LRUCache } from 'lru-cache'
import { Quiet } from '../observe/quiet.ts'
import type { Clock } from '../runtime/clock.ts'
import { latest } from '../runtime/latest.ts'
import { type Authorizer, bearerGrant, type Demand, demandOf, type Grant } from './auth/authorize.ts'
import {
  type Credential,
  type CredentialProvider,
  CredentialUnavailable,
  fingerprint,
  isCallers,
  nameOf,
} from './credentials/credential.ts'
import { abortable } from './transport/abort.ts'
import { failureOf, type Subject } from './transport/failure.ts'
import type { Budget, RateLimits } from './transport/rate-limit.ts'
import { isRedirect, type RedirectRule, sendFollowing } from './transport/redirects.ts'
import { discard, type HttpAnswer, headerOf, type Transport } from './transport/transport.ts'
import { UpstreamError } from './upstream-error.ts'
import { mayBeExpiry, refusalOf } from './verdict.ts'

export interface ResourceRequest {
  method: 'GET' | 'HEAD'
  repository: string
  /** Below the repository: `manifests/3.20`. */
  path: string
  query?: URLSearchParams
  headers?: Readonly<Record<string, string>>
  kind: Subject['kind']
  redirects?: RedirectRule
  /** Statuses from 400 on that the caller reads itself. */
  accept?: readonly number[]
  signal: AbortSignal | undefined
}

/** An answer below 400, or one of those the caller accepts. */
export interface Reply extends HttpAnswer {
  subject: Subject
  anonymous: boolean
}

export interface EndpointDeps {
  transport: Transport
  authorizer: Authorizer
  credentials: CredentialProvider
  /** Which of the URL's credentials it is, from 0 on. */
  nth: number
  limits: RateLimits
  clock: Clock
  log: { error(fields: object, message: string): void }
}

const maxDemands = 10_000

interface Learned {
  refusesHead: boolean
  /** Per repository, since the scope is: what to bring along without being asked. */
  readonly demands: LRUCache<string, Demand>
}

function nothingLearned(): Learned {
  return { refusesHead: false, demands: latest(maxDemands) }
}

export class Endpoint {
  readonly upstream: string
  readonly origin: string
  readonly #base: URL
  readonly #deps: EndpointDeps
  readonly #learned: Learned
  readonly #quiet: Quiet

  constructor(upstream: string, base: URL, deps: EndpointDeps, learned: Learned = nothingLearned()) {
    this.origin = base.origin
    this.upstream = upstream
    this.#base = base
    this.#deps = deps
    this.#learned = learned
    this.#quiet = new Quiet(deps.clock)
  }

  /** The same URL, asked with another credential; what one learns of it the other knows. */
  as(credentials: CredentialProvider): Endpoint {
    return new Endpoint(this.upstream, this.#base, { ...this.#deps, credentials }, this.#learned)
  }

  /** HEAD of a blob is answered with a refusal where GET works. */
  get refusesHead(): boolean {
    return this.#learned.refusesHead
  }

  set refusesHead(refuses: boolean) {
    this.#learned.refusesHead = refuses
  }

  get #demands(): Learned['demands'] {
    return this.#learned.demands
  }

  get credentialVersion(): string {
    return this.#deps.credentials.version
  }

  /** Milliseconds until manifests may be asked for here. */
  get pausedMs(): number {
    return this.#deps.limits.pausedMs
  }

  async ask(request: ResourceRequest): Promise<Reply> {
    const { method, repository, path, kind } = request
    const subject = { upstream: this.upstream, kind, text: `${method} ${repository} ${path}` }
    const { credentials, limits, nth } = this.#deps
    const credential = await this.#told(subject, abortable(credentials.get(repository), request.signal))
    const budget = limits.of(identityOf(credential, nth), isCallers(credential) ? 'caller' : undefined)
    const mayBeExpired = credential !== undefined && credentials.renewal?.isDue(repository) === true
    const exchange = { request, subject, credential, mayBeExpired, budget }
    this.#assertNotPaused(exchange)
    try {
      return await this.#askWith(exchange)
    } catch (error) {
      if (!mayBeExpired || !(error instanceof UpstreamError) || !mayBeExpiry(error)) throw error
      const renewed = await this.#renewed(exchange)
      // A realm's refusal of what cannot be renewed is told and remembered after all.
      if (!renewed && error.failure !== 'credential-refused') throw error
      return this.#askWith({ ...exchange, credential: renewed ?? credential, mayBeExpired: false })
    }
  }

  async #askWith(exchange: Exchange): Promise<Reply> {
    const { credential } = exchange
    if (credential?.kind === 'bearer') return this.#send(exchange, bearerGrant(credential.token))
    const reply = await this.#askAsBefore(exchange)
    return reply ?? this.#askAnew(exchange)
  }

  /** Registries say "expired" in many ways, so another one is worth one try; undefined: there is no other. */
  async #renewed({
    request: { repository, signal },
    subject,
    credential,
  }: Exchange): Promise<Credential | undefined> {
    const { renewal } = this.#deps.credentials
    if (!renewal || !credential) return undefined
    const renewed = await this.#told(subject, abortable(renewal.renew(repository, credential), signal))
    return fingerprint(renewed) === fingerprint(credential) ? undefined : renewed
  }

  /** With what the repository wanted last time; undefined when that is no longer good. */
  async #askAsBefore(exchange: Exchange): Promise<Reply | undefined> {
    const { repository, signal } = exchange.request
    const demand = this.#demands.get(repository)
    if (!demand) return undefined
    const grant = await this.#grant(demand, exchange, signal).catch((error: unknown) => {
      this.#demands.delete(repository) // a registry may have moved its realm
      throw error
    })
    const answer = await this.#exchange(exchange, grant)
    const doubtful = grant.reused || demand.scheme === 'basic'
    if (!doubtful || !this.#isRefusal(answer)) return this.#settle(exchange, answer, grant)
    this.#demands.delete(repository)
    if (grant.isCallersPassword) return this.#settle(exchange, answer, grant) // it is not tried twice
    discard(answer)
    grant.drop()
    return undefined
  }

  /**
   * From an unauthenticated probe on: the challenge to a request with a token may name another realm (nvcr.io),
   * or there is none at all (ECR).
   */
  async #askAnew(exchange: Exchange): Promise<Reply> {
    const { repository, signal } = exchange.request
    const probe = await this.#exchange(exchange, undefined)
    const isAsked = probe.status === 401 && probe.url.origin === this.origin // a CDN has no say in whom we ask
    const challenge = isAsked ? probe.headers['www-authenticate'] : undefined
    const demand = demandOf(challenge, this.#base, repository)
    if (!demand) return this.#settle(exchange, probe, undefined)
    discard(probe)
    let grant = await this.#grant(demand, exchange, signal)
    let answer = await this.#exchange(exchange, grant)
    if (grant.reused && this.#isRefusal(answer)) {
      discard(answer)
      grant.drop()
      grant = await this.#grant(demand, exchange, signal)
      answer = await this.#exchange(exchange, grant)
    }
    if (answer.status < 400) this.#demands.set(repository, demand)
    return this.#settle(exchange, answer, grant)
  }

  async #send(exchange: Exchange, grant: Grant): Promise<Reply> {
    return this.#settle(exchange, await this.#exchange(exchange, grant), grant)
  }

  #grant(
    demand: Demand,
    { credential, subject, mayBeExpired }: Exchange,
    signal: AbortSignal | undefined,
  ): Promise<Grant> {
    return abortable(this.#deps.authorizer.grant(demand, credential, subject, { mayBeExpired }), signal)
  }

  #exchange({ request, subject }: Exchange, grant: Grant | undefined): Promise<HttpAnswer> {
    const { method, repository, path, query, kind, signal } = request
    const url = new URL(this.#base)
    url.pathname = `${this.#base.pathname.replace(/\/+$/, '')}/v2/${repository}/${path}`
    url.search = query?.toString() ?? ''
    const headers = { ...request.headers, ...(grant ? { authorization: grant.authorization } : {}) }
    const http = { method, url, headers, subject, bulk: kind === 'blob', signal }
    return sendFollowing(this.#deps.transport, http, request.redirects ?? 'follow')
  }

  /** The answers that may mean "token no longer good": ECR's are 400 and 403. */
  #isRefusal({ status, url }: HttpAnswer): boolean {
    return url.origin === this.origin && (status === 400 || status === 401 || status === 403)
  }

  async #settle(
    { request, subject, budget }: Exchange,
    answer: HttpAnswer,
    grant: Grant | undefined,
  ): Promise<Reply> {
    const { status } = answer
    const own = answer.url.origin === this.origin
    if (own && request.kind === 'manifest') {
      budget.observe(
        headerOf(answer, 'ratelimit-limit'),
        headerOf(answer, 'ratelimit-remaining'),
        request.method,
      )
    }
    if (status < 400 ? isExpected(status) : request.accept?.includes(status)) {
      if (grant && !grant.anonymous) this.#deps.credentials.taken?.()
      return { ...answer, subject, anonymous: grant?.anonymous ?? true }
    }
    const counted = request.kind === 'manifest' && request.method === 'GET'
    throw await refusalOf(answer, { subject, grant, own, counted, budget, clock: this.#deps.clock })
  }

  #assertNotPaused({ request: { kind, method }, subject, budget }: Exchange): void {
    const ms = budget.pausedMs(kind === 'manifest' && method === 'GET')
    if (ms === 0) return
    const message = `${this.upstream} is not asked for ${subject.text} for ${Math.ceil(ms / 1000)} s: it said 429`
    throw failureOf(subject, 'rate-limited', message, { retryAfterMs: ms })
  }

  /** A file, a program or a cloud that gives nothing, be it for one repository alone, is an operator's business. */
  async #told(subject: Subject, given: Promise<Credential | undefined>): Promise<Credential | undefined> {
    try {
      return await given
    } catch (error) {
      if (!(error instanceof CredentialUnavailable)) throw error
      const message = `no credential for ${this.upstream}: ${error.message}`
      this.#quiet.say(message, () => this.#deps.log.error({ upstream: this.upstream }, message))
      throw failureOf(subject, 'credential-refused', `the credential for ${this.upstream} cannot be had`, {
        cause: error,
      })
    }
  }
}

interface Exchange {
  request: ResourceRequest
  subject: Subject
  credential: Credential | undefined
  /** A refusal of it may mean no more than that. */
  mayBeExpired: boolean
  budget: Budget
}

function isExpected(status: number): boolean {
  return status === 200 || status === 206 || isRedirect(status)
}

/** For the gauges: a user name is readable; of two tokens or clouds' accounts one must be told from the other. */
function identityOf(credential: Credential | undefined, nth: number): string {
  if (isCallers(credential)) return `caller-${fingerprint(credential)}`
  const isNamed = !credential || credential.kind === 'basic'
  const name = isNamed ? nameOf(credential) : `token-${fingerprint(credential).slice(0, 8)}`
  return nth === 0 ? name : `${name} (${nth + 1})`
}
