/** The gate in front of everything that is answered: who asks, and whether they may. */
import type { Access, Decision, Refusal } from '../../access/access.ts'
import { LoginRefused, LoginUnavailable, nameOf } from '../../access/caller.ts'
import { challenge } from '../../access/challenge.ts'
import type { Action, Question } from '../../access/question.ts'
import type { Rates } from '../../access/rates.ts'
import type { Session, Shown } from '../../access/session.ts'
import type { Scope } from '../../access/tokens/scope.ts'
import type { Metrics } from '../../observe/metrics.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Exchange } from '../exchange.ts'
import { pageAt } from '../pages.ts'
import { noteRefused } from './audit.ts'
import { uncheckedLogin } from './login-errors.ts'
import { pageQuestions, type Wanted } from './question.ts'
import { type Realm, realmOf } from './realm.ts'

export interface GateDeps {
  /** Undefined: nothing is configured, and only what is not dangerous is open. */
  readonly access: () => Access | undefined
  /** Without a trailing slash. */
  readonly publicUrl: () => string | undefined
  /** Counts what clients of this process ask. */
  readonly rates: Pick<Rates, 'limitsUsers' | 'take' | 'waitMs' | 'add'>
  readonly metrics: Pick<Metrics, 'auth'>
}

export class Gate {
  readonly #deps: GateDeps

  constructor(deps: GateDeps) {
    this.#deps = deps
  }

  get access(): Access | undefined {
    return this.#deps.access()
  }

  /** Counts a request by the address that it comes from; an error for one too many. */
  arrived(client: string | undefined): RegistryError | undefined {
    const waitMs = this.#deps.rates.take({ client: client ?? '', user: '' })
    return waitMs === undefined ? undefined : tooMany(waitMs)
  }

  /** Counts a request by who turned out to have sent it. */
  ended(user: string | undefined): void {
    if (user !== undefined) this.#deps.rates.add({ client: '', user })
  }

  /**
   * The exchange with who asks, who may have what is wanted.
   *
   * @throws RegistryError UNAUTHORIZED (401) with a challenge, DENIED (403), TOOMANYREQUESTS (429), UNAVAILABLE (503)
   */
  async admit(exchange: Exchange, wanted: Wanted): Promise<Exchange> {
    const { access } = this
    if (!access || isAdmitted(exchange)) return exchange
    const session = await this.#sessionOf(access, exchange, wanted)
    const waitMs = this.#waitMs(session)
    if (waitMs > 0) throw tooMany(waitMs)
    const { question, further = [], ...asked } = wanted
    for (const each of [question, ...further]) {
      const decision = await access.decide(session, each, exchange.client ?? '')
      if (decision.kind !== 'allowed')
        throw this.#refusal(exchange, { ...asked, session, refusal: decision, action: each.action })
    }
    return admitted(exchange, session, question)
  }

  /** The same from memory alone; undefined: the long way has to be gone. */
  admitNow(exchange: Exchange, { question, isForUpstream = false }: Wanted): Exchange | undefined {
    const { access } = this
    if (!access || isAdmitted(exchange)) return exchange
    if (isForUpstream) return undefined
    const session = access.known(shownBy(exchange))
    if (!session) return undefined
    const decision = access.decideNow(session, question, exchange.client ?? '')
    return decision?.kind === 'allowed' ? admitted(exchange, session, question) : undefined
  }

  /** The process that has the client counts what its user asks. @throws RegistryError TOOMANYREQUESTS (429) */
  assertNotTooMany(exchange: Exchange): void {
    if (!this.#deps.rates.limitsUsers) return // finding out who asks costs a hash
    const session = this.access?.known(shownBy(exchange))
    const waitMs = session ? this.#waitMs(session) : 0
    if (waitMs > 0) throw tooMany(waitMs)
  }

  /**
   * What another process of ours has found out about who asks, it need not be asked again: until the configuration
   * changes that held when this was called.
   */
  learner(): (exchange: Exchange) => void {
    const { access } = this
    return exchange => {
      const { session } = exchange.facts
      if (session) access?.remember(shownBy(exchange), session)
    }
  }

  /** Whether what is kept in memory may be given to who asks for it, as far as that is known; with their name. */
  lets(shown: Shown, question: Question | undefined): { readonly user: string | undefined } | undefined {
    const { access } = this
    if (!access) return { user: undefined }
    const session = question && access.known(shown)
    if (!session || this.#waitMs(session) > 0) return undefined
    const decision = access.decideNow(session, question, shown.client)
    return decision?.kind === 'allowed' ? { user: nameOf(session.caller) } : undefined
  }

  /** A ping tells clients how to log in, also where much is open to everybody (protocol of docker and podman). */
  async ping(exchange: Exchange): Promise<void> {
    const { access } = this
    if (!access || isAdmitted(exchange) || exchange.role === 'mirror') return
    const session = await this.#sessionOf(access, exchange, { scopes: [] })
    exchange.facts.user = nameOf(session.caller)
    const hasShown = shownBy(exchange).authorization !== undefined
    if (hasShown || session.caller.method === 'certificate' || !takesLogins(access)) return
    throw this.#challenged(exchange, { message: 'log in', scopes: [] })
  }

  /** Health and metrics have a switch of their own. @throws as `admit` */
  async admitPage(exchange: Exchange): Promise<void> {
    const page = pageAt(exchange.path)
    if (page === undefined || this.access?.options[page] !== 'policy') return
    await this.admit(exchange, { question: pageQuestions[page], scopes: [] })
  }

  /** Whether who asks may pull from another repository too. */
  async mayPull(exchange: Exchange, about: Omit<Question, 'action'>): Promise<boolean> {
    const { decision } = await this.#pullOf(exchange, about)
    return decision.kind === 'allowed'
  }

  /**
   * The same for a push that takes a blob from there.
   *
   * @throws RegistryError UNAUTHORIZED (401) for a token that is too small, with the scopes of one that is not
   */
  async mayTake(exchange: Exchange, about: Omit<Question, 'action'>): Promise<boolean> {
    const { decision, session } = await this.#pullOf(exchange, about)
    if (decision.kind !== 'out-of-scope' || !session || exchange.question === undefined)
      return decision.kind === 'allowed'
    const scopes: Scope[] = [
      { type: 'repository', name: exchange.question.repository, actions: ['pull', 'push'] },
      { type: 'repository', name: about.repository, actions: ['pull'] },
    ]
    throw this.#refusal(exchange, { session, scopes, refusal: decision, action: 'pull' })
  }

  async #pullOf(
    { caller, access: scopes, client }: Exchange,
    about: Omit<Question, 'action'>,
  ): Promise<{ decision: Decision; session?: Session }> {
    const { access } = this
    if (!access || !caller) return { decision: { kind: 'allowed' } }
    const session: Session = { caller, access: scopes, until: Number.POSITIVE_INFINITY }
    const decision = await access.decide(session, { ...about, action: 'pull' }, client ?? '')
    return { decision, session }
  }

  /** Of who asks, wherever the requests come from. */
  #waitMs({ caller }: Session): number {
    return this.#deps.rates.waitMs({ client: '', user: nameOf(caller) ?? '' })
  }

  async #sessionOf(
    access: Access,
    exchange: Exchange,
    { scopes, isForUpstream = false }: Pick<Wanted, 'scopes' | 'isForUpstream'>,
  ): Promise<Session> {
    const shown = shownBy(exchange)
    const asked = isForUpstream ? { ...shown, authorization: undefined } : shown
    const identify = () => access.identify(asked, () => this.#realmOf(exchange).service)
    const session = await this.#loggedIn(exchange, identify, scopes)
    if (asked.authorization !== undefined) exchange.facts.session = session
    return session
  }

  async #loggedIn(
    exchange: Exchange,
    task: () => Promise<Session>,
    scopes: readonly Scope[],
  ): Promise<Session> {
    try {
      return await task()
    } catch (error) {
      if (error instanceof LoginUnavailable) throw uncheckedLogin(error)
      if (!(error instanceof LoginRefused)) throw error
      noteRefused(exchange, error)
      if (exchange.role === 'mirror')
        throw new RegistryError('DENIED', 'the login is wrong', { cause: error })
      throw this.#challenged(exchange, {
        message: 'the login is wrong',
        scopes,
        error: 'invalid_token',
        cause: error,
      })
    }
  }

  /**
   * A mirror never challenges: a 401 would draw the secrets that pods have for its upstream. Nor is anyone challenged whose
   * login would be that of an upstream: it changes nothing of what is allowed here.
   */
  #refusal(
    exchange: Exchange,
    { session, scopes, isForUpstream = false, refusal, action }: Refused,
  ): RegistryError {
    const { access } = this
    const { facts, role } = exchange
    facts.user = nameOf(session.caller)
    this.#deps.metrics.auth.inc({ method: session.caller.method, result: 'denied' })
    const isAnonymous = session.caller.method === 'anonymous'
    const mayLogIn = access !== undefined && takesLogins(access) && role !== 'mirror' && !isForUpstream
    if (mayLogIn && refusal.kind === 'out-of-scope')
      return this.#challenged(exchange, { message: refusal.reason, scopes, error: 'insufficient_scope' })
    if (!isAnonymous || shownBy(exchange).authorization !== undefined || !mayLogIn)
      facts.audit = { event: 'denied', reason: refusal.reason }
    if (mayLogIn && isAnonymous) return this.#challenged(exchange, { message: 'this needs a login', scopes })
    const { user } = facts // of what there is it says nothing: only who one is taken for
    const message = user === undefined ? 'access denied' : `${user} may not ${wordsFor[action]} here`
    return new RegistryError('DENIED', message)
  }

  #challenged(exchange: Exchange, { message, scopes, error, cause }: Challenged): RegistryError {
    const { realm, service } = this.#realmOf(exchange)
    const mode = this.access?.options.challenge ?? 'basic'
    const header = challenge({
      mode,
      realm,
      service,
      ...(scopes.length === 0 ? {} : { scope: scopes }),
      ...(error === undefined ? {} : { error }),
    })
    return new RegistryError('UNAUTHORIZED', message, { headers: { 'www-authenticate': header }, cause })
  }

  #realmOf(exchange: Exchange): Realm {
    return realmOf(exchange, { publicUrl: this.#deps.publicUrl() })
  }
}

const wordsFor: Readonly<Record<Action, string>> = {
  pull: 'pull',
  push: 'push',
  delete: 'delete',
  catalog: 'list repositories',
  health: 'read this',
  metrics: 'read this',
}

function tooMany(retryAfterMs: number): RegistryError {
  return new RegistryError('TOOMANYREQUESTS', 'too many requests: try again later', { retryAfterMs })
}

interface Refused extends Pick<Wanted, 'scopes' | 'isForUpstream'> {
  readonly session: Session
  readonly refusal: Refusal
  readonly action: Action
}

interface Challenged {
  readonly message: string
  readonly scopes: readonly Scope[]
  readonly error?: 'insufficient_scope' | 'invalid_token'
  readonly cause?: unknown
}

/** Another process of ours has let it in. */
function isAdmitted({ caller, question }: Exchange): boolean {
  return caller !== undefined || question !== undefined
}

function admitted(exchange: Exchange, session: Session, question: Question): Exchange {
  exchange.facts.user = nameOf(session.caller)
  return { ...exchange, caller: session.caller, access: session.access, question }
}

/** No user and no password: what podman and skopeo answer a challenge of Basic with when they have no login. */
const nothing = 'Basic Og=='

/** What a request shows of who sends it. */
export function shownBy({
  request,
  certificate,
  client = '',
}: Pick<Exchange, 'request' | 'certificate' | 'client'>): Shown {
  const { authorization } = request.headers
  return { authorization: authorization === nothing ? undefined : authorization, certificate, client }
}

/** Whether there is anything to log in with but a certificate. */
function takesLogins({ options }: Access): boolean {
  return options.users.length > 0 || options.oidc.length > 0
}
