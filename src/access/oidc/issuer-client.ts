/** Fetches an issuer's keys. OpenID Connect Discovery 1.0 §4. */
import { Agent, type Dispatcher, EnvHttpProxyAgent } from 'undici'
import { z } from 'zod'
import type { Clock } from '../../runtime/clock.ts'
import { systemLookup } from '../../runtime/lookup.ts'
import {
  AddressRefused,
  assertLiteral,
  createAddressRule,
  guardedLookup,
} from '../../upstream/transport/address.ts'
import { hasProxyVariables } from '../../upstream/transport/agent.ts'
import { Deadline } from '../../upstream/transport/deadline.ts'
import type { OidcOptions } from '../options.ts'

/** For all that is fetched to get the keys. A login may be waiting. */
const totalMs = 5_000
/** Key sets of large issuers have some 20 KiB. */
const maxBodyBytes = 256 * 1024

/** Why the keys could not be got, for the log. */
export class FetchFailed extends Error {
  override readonly name = 'FetchFailed'
}

/** Our own networks are an issuer's too, but never where clouds hand out credentials. */
const addressRule = createAddressRule([])

const documentForm = z.looseObject({ issuer: z.string(), jwks_uri: z.string() })

export class IssuerClient {
  readonly #options: Pick<OidcOptions, 'issuer' | 'jwksUrl'>
  readonly #clock: Clock
  readonly #agent: Dispatcher
  readonly #closed = new AbortController()

  constructor(options: Pick<OidcOptions, 'issuer' | 'jwksUrl' | 'ca'>, clock: Clock) {
    this.#options = options
    this.#clock = clock
    this.#agent = createAgent(options.ca)
  }

  /**
   * The text of its key set, whatever it is.
   * @throws FetchFailed
   */
  async fetchKeys(): Promise<string> {
    using deadline = new Deadline({ signal: this.#closed.signal, totalMs }, this.#clock)
    try {
      const { jwksUrl } = this.#options
      const url = jwksUrl === undefined ? await this.#discover(deadline) : new URL(jwksUrl)
      return await this.#get(url, deadline)
    } catch (error) {
      if (error instanceof FetchFailed) throw error
      const reason = deadline.expired ? `no answer within ${totalMs / 1000} s` : reasonOf(error)
      throw new FetchFailed(reason, { cause: error })
    }
  }

  async close(): Promise<void> {
    this.#closed.abort(new FetchFailed('Layover is stopping, or has a new configuration'))
    await this.#agent.destroy()
  }

  async #discover(deadline: Deadline): Promise<URL> {
    const { issuer } = this.#options
    const url = new URL(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)
    const document = parseDocument(await this.#get(url, deadline))
    if (!document) throw new FetchFailed(`${url.href} is no OpenID configuration with issuer and jwks_uri`)
    // §4.3: else another issuer's keys would count as those of this one.
    if (document.issuer !== issuer)
      throw new FetchFailed(`${url.href} is the configuration of another issuer`)
    return keysUrl(document.jwks_uri, url)
  }

  async #get(url: URL, { signal }: Deadline): Promise<string> {
    assertLiteral(url, 'own', addressRule)
    const { statusCode, body } = await this.#agent.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: 'GET',
      headers: { accept: 'application/json', 'accept-encoding': 'identity' },
      ...(signal ? { signal } : {}),
    })
    body.on('error', () => {}) // what is given up is an error to undici, and not one for the process
    if (statusCode === 200) return await body.text()
    body.destroy()
    const advice = statusCode >= 300 && statusCode < 400 ? ', and redirects are not followed' : ''
    throw new FetchFailed(`${url.href} answered ${statusCode}${advice}`)
  }
}

function createAgent(ca: string | undefined): Dispatcher {
  const trust = ca === undefined ? {} : { ca }
  const dial = { timeout: totalMs, autoSelectFamily: true, ...trust }
  const options = {
    connections: 1,
    allowH2: false,
    maxResponseSize: maxBodyBytes,
    connect: { ...dial, lookup: guardedLookup(systemLookup, 'own', addressRule) },
    requestTls: dial,
    proxyTls: dial,
  }
  return hasProxyVariables() ? new EnvHttpProxyAgent(options) : new Agent(options)
}

function parseDocument(text: string): z.output<typeof documentForm> | undefined {
  try {
    return documentForm.parse(JSON.parse(text))
  } catch {
    return undefined // the caller says where it came from
  }
}

/** Over TLS, unless the issuer itself is asked without it. */
function keysUrl(text: string, from: URL): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol === 'https:') return url
  if (url?.protocol === 'http:' && from.protocol === 'http:' && url.hostname === from.hostname) return url
  throw new FetchFailed(`${from.href} names a jwks_uri that is no https URL`)
}

function reasonOf(error: unknown): string {
  if (error instanceof AddressRefused) return error.message
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') return `the answer has more than ${maxBodyBytes} bytes`
  return code ?? message
}
