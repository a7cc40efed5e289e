/** Small requests to the services that give out credentials. Their addresses are the operator's, never an upstream's. */
import { Agent, type Dispatcher, EnvHttpProxyAgent, ProxyAgent } from 'undici'
import type { Lookup } from '../../runtime/lookup.ts'
import { version } from '../../runtime/version.ts'
import { wholeOf } from '../../stream/whole.ts'
import { guardedLookup } from '../transport/address.ts'
import { codeOf } from '../transport/failure.ts'
import { CredentialUnavailable } from './credential.ts'

/** For all of a request. */
const timeoutMs = 5_000
const maxAnswerBytes = 256 * 1024

export interface CloudRequest {
  readonly method?: 'GET' | 'POST' | 'PUT'
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Of this machine or its network, such as a metadata server: no proxy stands between. */
  readonly near?: boolean
}

export interface CloudAnswer {
  readonly host: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

/** Somebody answered, and said no. */
export class CloudRefused extends CredentialUnavailable {
  override readonly name = 'CloudRefused'
}

/** Neither the guard of addresses applies (metadata servers are link-local) nor the connections of any upstream. */
export class CloudHttp {
  readonly #create: (near: boolean) => Dispatcher
  readonly #agents = new Map<boolean, Dispatcher>()

  /** @param proxy of the upstream; undefined: that of the environment */
  constructor({ lookup, proxy }: { lookup: Lookup; proxy: string | undefined }) {
    const connect = { timeout: timeoutMs, lookup: guardedLookup(lookup, 'own', () => true) }
    const bounds = { connections: 4, headersTimeout: timeoutMs, bodyTimeout: timeoutMs, connect }
    const behind = { ...bounds, proxyTls: connect }
    this.#create = near => {
      if (near) return new Agent(bounds)
      return proxy === undefined ? new EnvHttpProxyAgent(behind) : new ProxyAgent({ ...behind, uri: proxy })
    }
  }

  /** The answer with status 200. @throws CredentialUnavailable, CloudRefused; redirects are refusals */
  async ask({ method = 'GET', url, headers = {}, body, near = false }: CloudRequest): Promise<CloudAnswer> {
    if (!URL.canParse(url) || !/^https?:/.test(url))
      throw new CredentialUnavailable('the address of a service of the cloud is no URL')
    const { origin, pathname, search, host } = new URL(url)
    try {
      const answer = await this.#agent(near).request({
        origin,
        path: `${pathname}${search}`,
        method,
        headers: { 'user-agent': `layover/${version}`, accept: 'application/json', ...headers },
        ...(body === undefined ? {} : { body }),
        signal: AbortSignal.timeout(timeoutMs),
      })
      const text = await readCapped(answer.body, host)
      if (answer.statusCode === 200) return { host, headers: answer.headers, text }
      throw new CloudRefused(`${host} answered ${answer.statusCode}${reasonOf(text)}`)
    } catch (error) {
      if (error instanceof CredentialUnavailable) throw error
      throw new CredentialUnavailable(`${host} is unreachable: ${codeOf(error)}`)
    }
  }

  async askJson(request: CloudRequest): Promise<CloudObject> {
    const { host, text } = await this.ask(request)
    return new CloudObject(host, objectIn(text))
  }

  async destroy(): Promise<void> {
    await Promise.all([...this.#agents.values()].map(agent => agent.destroy()))
  }

  /** Most upstreams need none. */
  #agent(near: boolean): Dispatcher {
    const agent = this.#agents.get(near) ?? this.#create(near)
    this.#agents.set(near, agent)
    return agent
  }
}

/** A JSON object that somebody answered with. */
export class CloudObject {
  readonly #host: string
  readonly #value: Readonly<Record<string, unknown>>

  constructor(host: string, value: unknown) {
    this.#host = host
    this.#value = Object(value) as Record<string, unknown>
  }

  /** The object, or the first one of the list, under the key. */
  at(key: string): CloudObject {
    const value = this.#value[key]
    return new CloudObject(this.#host, Array.isArray(value) ? value[0] : value)
  }

  /** @throws CredentialUnavailable */
  text(key: string): string {
    const value = this.#value[key]
    if (typeof value === 'string' && value !== '') return value
    throw new CredentialUnavailable(`${this.#host} gives no ${key}`)
  }

  textOr(key: string, fallback: string): string {
    const value = this.#value[key]
    return typeof value === 'string' ? value : fallback
  }

  /** A number, be it written as text; NaN: none. */
  number(key: string): number {
    const value = this.#value[key]
    return typeof value === 'number' || (typeof value === 'string' && value !== '')
      ? Number(value)
      : Number.NaN
  }

  /** Milliseconds since the epoch, of seconds or of a date; NaN: none. */
  time(key: string): number {
    const seconds = this.number(key)
    return Number.isNaN(seconds) ? Date.parse(String(this.#value[key])) : seconds * 1_000
  }
}

function objectIn(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return {} // without what is wanted, which is told; a parser's message would quote it
  }
}

/** A word for the kind of error that clouds give, such as `AccessDeniedException` or `invalid_client`; nothing else is quoted. */
function reasonOf(text: string): string {
  const { error, __type, Code, code, Error: inner } = Object(objectIn(text)) as Record<string, unknown>
  const words = [__type, Code, code, error, Object(inner).Code, Object(error).status]
  const word = words.find(value => typeof value === 'string' && /^(?:[\w.]+#)?[A-Za-z_]{3,48}$/.test(value))
  return word === undefined ? '' : ` (${String(word).replace(/^.*#/, '')})`
}

async function readCapped(body: AsyncIterable<Buffer>, host: string): Promise<string> {
  const whole = await wholeOf(body, maxAnswerBytes)
  if (!whole) throw new CredentialUnavailable(`${host} answered with more than ${maxAnswerBytes} bytes`)
  return whole.toString('utf8')
}
