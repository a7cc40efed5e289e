/** Tokens from the realms that registries name: fetched once for all who need them, kept while they are good. */
import type { Logger } from '../../observe/log.ts'
import type { Clock } from '../../runtime/clock.ts'
import { latest } from '../../runtime/latest.ts'
import { Coalescer } from '../../stream/coalesce.ts'
import { basicHeader, type Credential, fingerprint, isCallers, nameOf } from '../credentials/credential.ts'
import { peekText, readBody } from '../objects/body.ts'
import { failureOf, type Subject } from '../transport/failure.ts'
import { retryAfterMs } from '../transport/retry-after.ts'
import { discard, type HttpAnswer, headerOf, type Transport } from '../transport/transport.ts'
import { UpstreamError } from '../upstream-error.ts'
import { usableMs } from './token-life.ts'

export interface TokenAsk {
  realm: URL
  service: string | undefined
  scope: string
  credential: Exclude<Credential, { kind: 'bearer' }> | undefined
  /** Then a refusal of it is no news: another one is tried. */
  mayBeExpired: boolean
}

export interface Token {
  value: string
  /** It was fetched for an earlier request, so it may be no longer good. */
  reused: boolean
}

const maxTokens = 10_000
const maxAnswerBytes = 256 * 1024
/** Docker Hub locks an account for about as long after a few wrong passwords. */
const refusedMs = 10 * 60_000

export class Tokens {
  readonly #transport: Transport
  readonly #clock: Clock
  readonly #log: Logger
  readonly #running = new Coalescer<string>()
  readonly #tokens = latest<string, { value: string; until: number }>(maxTokens)
  /** What a realm said that holds for a while: a refused credential, a limit. */
  readonly #refusals = latest<string, { error: UpstreamError; until: number }>(maxTokens)

  constructor(deps: { transport: Transport; clock: Clock; log: Logger }) {
    this.#transport = deps.transport
    this.#clock = deps.clock
    this.#log = deps.log
  }

  /** The exchange belongs to all who wait for it, so nobody's signal stops it. */
  async get(ask: TokenAsk, subject: Subject): Promise<Token> {
    const key = keyOf(ask)
    const known = this.#tokens.get(key)
    if (known && this.#clock.now() < known.until) return { value: known.value, reused: true }
    const refusal = this.#refusals.get(realmKey(ask))
    const stillMs = refusal ? refusal.until - this.#clock.monotonic() : 0
    if (refusal && stillMs > 0) throw forSubject(refusal.error, subject, stillMs)
    try {
      const shared = { ...subject, text: 'a token' }
      const { result } = this.#running.run(key, () => this.#fetch(ask, shared))
      return { value: await result, reused: false }
    } catch (error) {
      throw error instanceof UpstreamError ? forSubject(error, subject, error.retryAfterMs) : error
    }
  }

  drop(ask: TokenAsk, value: string): void {
    const key = keyOf(ask)
    if (this.#tokens.get(key)?.value === value) this.#tokens.delete(key)
  }

  async #fetch(ask: TokenAsk, subject: Subject): Promise<string> {
    const answer = await this.#send(ask, subject)
    if (answer.status !== 200) throw await this.#refusal(ask, answer, subject)
    const body = await readBody(answer, subject, { maxBytes: maxAnswerBytes, signal: undefined })
    const { token, access_token: accessToken, expires_in: expiresIn } = parseObject(body)
    const value = [token, accessToken].find(text => typeof text === 'string' && isSendable(text))
    if (typeof value !== 'string') {
      const message = `${subject.upstream}'s token realm ${ask.realm.host} answered without a token`
      throw failureOf(subject, 'corrupt', message)
    }
    const now = this.#clock.now()
    this.#tokens.set(keyOf(ask), { value, until: now + usableMs(value, expiresIn, now) })
    return value
  }

  #send({ realm, service, scope, credential }: TokenAsk, subject: Subject): Promise<HttpAnswer> {
    const common = { subject, bulk: false, signal: undefined }
    const params = { ...(service === undefined ? {} : { service }), scope }
    if (credential?.kind === 'identity') {
      const grant = { grant_type: 'refresh_token', client_id: 'layover', refresh_token: credential.token }
      const headers = { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' }
      const body = new URLSearchParams({ ...grant, ...params }).toString()
      return this.#transport.send({ ...common, method: 'POST', url: realm, headers, body })
    }
    const url = new URL(realm)
    for (const [name, value] of Object.entries(params)) url.searchParams.set(name, value)
    if (credential) url.searchParams.set('account', credential.username)
    const headers = {
      accept: 'application/json',
      ...(credential ? { authorization: basicHeader(credential) } : {}),
    }
    return this.#transport.send({ ...common, method: 'GET', url, headers })
  }

  /** What an answer without a token means for the request that needed one. */
  async #refusal(ask: TokenAsk, answer: HttpAnswer, subject: Subject): Promise<UpstreamError> {
    const { status } = answer
    const { upstream } = subject
    const { host } = ask.realm
    const told = `${upstream}'s token realm ${host} answered ${status}`
    const options = { upstreamStatus: status }
    if (status === 429) {
      const waitMs = retryAfterMs(headerOf(answer, 'retry-after'), await peekText(answer), this.#clock)
      const error = failureOf(subject, 'rate-limited', told, { ...options, retryAfterMs: waitMs })
      return this.#remember(ask, error, waitMs)
    }
    discard(answer)
    if (status === 401 && ask.credential) return this.#credentialRefused(ask, subject, status)
    if (status === 401 || status === 403) {
      const failure = ask.credential ? 'denied' : 'hidden'
      return failureOf(subject, failure, told, options)
    }
    return failureOf(subject, 'server-error', told, options)
  }

  #credentialRefused(ask: TokenAsk, subject: Subject, status: number): UpstreamError {
    const { upstream } = subject
    const { host } = ask.realm
    const user = nameOf(ask.credential)
    if (isCallers(ask.credential)) {
      this.#log.info({ upstream, realm: host, user, status }, `${host} refused the password of a caller`)
      const message = `${upstream}'s token realm ${host} refused the password`
      const error = failureOf(subject, 'credential-refused', message, { upstreamStatus: status })
      return this.#remember(ask, error, refusedMs)
    }
    const message = `${upstream}'s token realm ${host} refused the configured credential of ${user}`
    const error = failureOf(subject, 'credential-refused', message, { upstreamStatus: status })
    if (ask.mayBeExpired) return error
    this.#log.error(
      { upstream, realm: host, user, status },
      `${host} refused the credential of ${user} for ${upstream}: correct it in upstreams.yaml; ` +
        `it is not tried again for ${refusedMs / 60_000} minutes`,
    )
    return this.#remember(ask, error, refusedMs)
  }

  #remember(ask: TokenAsk, error: UpstreamError, forMs: number): UpstreamError {
    this.#refusals.set(realmKey(ask), { error, until: this.#clock.monotonic() + forMs })
    return error
  }
}

/** An error of the shared exchange, in the words and with the code of one who waited for it. */
function forSubject(error: UpstreamError, subject: Subject, retryAfterMs: number | undefined): UpstreamError {
  const { failure, upstreamStatus, message } = error
  return failureOf(subject, failure, `${message}, needed for ${subject.text}`, {
    ...(upstreamStatus === undefined ? {} : { upstreamStatus }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    cause: error,
  })
}

function keyOf(ask: TokenAsk): string {
  return JSON.stringify([realmKey(ask), ask.service, ask.scope])
}

function realmKey({ realm, credential }: TokenAsk): string {
  return `${realm.href} ${fingerprint(credential)}`
}

/** A token goes into a header, so it must not break one. */
function isSendable(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text)
}

function parseObject(body: Buffer): Record<string, unknown> {
  try {
    return Object(JSON.parse(body.toString('utf8'))) as Record<string, unknown>
  } catch {
    return {} // no token, which the caller reports
  }
}
