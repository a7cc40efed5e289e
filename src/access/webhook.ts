/** Somebody else who decides, after the policies: asked over HTTP as the Open Policy Agent is. */
import { hash } from 'node:crypto'
import { Agent } from 'undici'
import type { Logger } from '../observe/log.ts'
import { Quiet } from '../observe/quiet.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Clock } from '../runtime/clock.ts'
import { latest } from '../runtime/latest.ts'
import type { Lookup } from '../runtime/lookup.ts'
import { version } from '../runtime/version.ts'
import { Coalescer } from '../stream/coalesce.ts'
import { assertLiteral, createAddressRule, guardedLookup } from '../upstream/transport/address.ts'
import { type Caller, nameOf } from './caller.ts'
import type { WebhookOptions } from './options.ts'
import type { Asked, Verdict } from './question.ts'
import { NoAnswer, readVerdict } from './webhook-answer.ts'

/** Answers that are remembered. */
const maxRemembered = 20_000
const maxConnections = 32
/** Questions that wait for their answers; more get none. */
const maxWaiting = 1_000
/** What failed is not asked again for so long. */
const pauseMs = 1_000
/** Clients come back after so long. */
const retryAfterMs = 5_000

export interface WebhookDeps {
  readonly lookup: Lookup
  readonly clock: Clock
  readonly log: Logger
}

/** `failed`: the question was asked, and there was no answer to it. */
interface Remembered {
  readonly verdict: Verdict | 'failed'
  readonly until: number
}

export class Webhook {
  readonly #options: WebhookOptions
  readonly #url: URL
  readonly #deps: WebhookDeps
  readonly #agent: Agent
  readonly #quiet: Quiet
  readonly #asking = new Coalescer<Verdict>()
  readonly #remembered = latest<string, Remembered>(maxRemembered)
  readonly #callers = new WeakMap<Caller, string>()
  #waiting = 0
  /** Nobody could be reached at all. */
  #pausedUntil = 0

  constructor(options: WebhookOptions, deps: WebhookDeps) {
    const { timeoutMs, ca } = options
    const rule = createAddressRule([])
    this.#options = options
    this.#url = new URL(options.url)
    this.#deps = deps
    this.#quiet = new Quiet(deps.clock)
    assertLiteral(this.#url, 'own', rule)
    this.#agent = new Agent({
      connections: maxConnections,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      connect: {
        timeout: timeoutMs,
        lookup: guardedLookup(deps.lookup, 'own', rule),
        ...(ca === undefined ? {} : { ca }),
      },
    })
  }

  /** From memory alone; undefined: `decide` knows. */
  peek(asked: Asked): Verdict | undefined {
    const known = this.#recall(this.#keyOf(asked))
    return known === 'failed' ? undefined : known
  }

  /**
   * At once where the answer is remembered.
   *
   * @throws RegistryError UNAVAILABLE (503), also as a rejection, where there is no answer: that is no denial
   */
  decide(asked: Asked): Verdict | Promise<Verdict> {
    const key = this.#keyOf(asked)
    const known = this.#recall(key)
    if (known === 'failed') throw unavailable()
    return known ?? this.#asking.run(key, () => this.#ask(key, asked)).result
  }

  /** What has been asked is still answered: a reload is no outage. */
  close(): Promise<void> {
    return this.#agent.close()
  }

  #recall(key: string): Remembered['verdict'] | undefined {
    const now = this.#deps.clock.monotonic()
    const found = this.#remembered.get(key)
    if (found && now < found.until) return found.verdict
    return now < this.#pausedUntil ? 'failed' : undefined
  }

  async #ask(key: string, asked: Asked): Promise<Verdict> {
    const { clock } = this.#deps
    const { allowMs, denyMs } = this.#options
    if (this.#waiting >= maxWaiting) throw this.#failed(new NoAnswer(`${maxWaiting} questions wait already`))
    this.#waiting += 1
    try {
      const verdict = await this.#exchange(JSON.stringify({ input: inputOf(asked) }))
      const until = clock.monotonic() + (verdict.allowed ? allowMs : denyMs)
      this.#remembered.set(key, { verdict, until })
      return verdict
    } catch (error) {
      const until = clock.monotonic() + pauseMs
      // What one question brought about must not keep others from being asked.
      if (isUnreachable(error)) this.#pausedUntil = until
      else this.#remembered.set(key, { verdict: 'failed', until })
      throw this.#failed(error)
    } finally {
      this.#waiting -= 1
    }
  }

  async #exchange(body: string): Promise<Verdict> {
    const { token, timeoutMs } = this.#options
    const { statusCode, body: answer } = await this.#agent.request({
      origin: this.#url.origin,
      path: this.#url.pathname,
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json',
        'user-agent': `layover/${version}`,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body,
      signal: AbortSignal.timeout(timeoutMs),
    })
    return readVerdict(statusCode, answer)
  }

  #failed(error: unknown): RegistryError {
    const failure = error instanceof Error ? error.message : String(error)
    this.#quiet.say('failed', () =>
      this.#deps.log.error(
        { webhook: this.#url.origin, failure },
        'the webhook that decides about access gives no answer: nobody gets what it has to be asked for',
      ),
    )
    return unavailable(error)
  }

  /** A caller's claims are long, and stay the same over many questions. */
  #keyOf({ caller, ...question }: Asked): string {
    const known = this.#callers.get(caller)
    const who = known ?? hash('sha256', JSON.stringify(whoOf(caller)), 'base64url')
    if (known === undefined) this.#callers.set(caller, who)
    const { action, object, repository, upstream, namespace, tag, digest, client } = question
    return JSON.stringify([who, action, object, repository, upstream, namespace, tag, digest, client])
  }
}

function inputOf({ caller, ...question }: Asked) {
  const { action, repository, upstream, namespace, object, tag, digest, client } = question
  return { action, repository, upstream, namespace, object, tag, digest, client, ...whoOf(caller) }
}

function whoOf(caller: Caller) {
  const { provider, method, claims, certificate } = caller
  return { user: nameOf(caller) ?? '', provider, method, claims, certificate: certificate ?? null }
}

/** No connection came about, whatever was to be asked. */
function isUnreachable(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return /^(?:UND_ERR_CONNECT_TIMEOUT|ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$/.test(code)
}

function unavailable(cause?: unknown): RegistryError {
  return new RegistryError(
    'UNAVAILABLE',
    'who decides about access cannot be reached at the moment; this is no denial',
    { retryAfterMs, ...(cause === undefined ? {} : { cause }) },
  )
}
