/** The HTTP that the client emulators share: Go's habits with redirects and reused connections, bodies that tell FIN from RST. */
import { once } from 'node:events'
import {
  Agent,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request,
} from 'node:http'
import type { LookupFunction } from 'node:net'
import type { Lookup } from '../../src/runtime/lookup.ts'
import { type Credentials, TokenSource } from './token-source.ts'

export interface SentRequest {
  method: string
  url: string
  headers: OutgoingHttpHeaders
  /** Undefined when no answer came. */
  status: number | undefined
}

export interface Reply {
  status: number
  headers: IncomingHttpHeaders
  /** After redirects. */
  url: URL
  body: Body
}

export interface ClientOptions {
  /** Resolves host names in place of DNS. */
  lookup?: Lookup
  /** Used where a host challenges; anonymous otherwise. */
  credentials?: Credentials
}

/** What a client says when it gives up, in the words of the real one as far as they are known. */
export class ClientError extends Error {
  override readonly name = 'ClientError'
  readonly status: number | undefined

  constructor(message: string, options: { status?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.status = options.status
  }
}

/** The connection ended in the middle of a body. */
export class BodyCut extends Error {
  override readonly name = 'BodyCut'
  /** `fin` is Go's ErrUnexpectedEOF, `rst` its ECONNRESET: clients treat them differently. */
  readonly how: 'fin' | 'rst'

  constructor(how: 'fin' | 'rst') {
    super(how === 'fin' ? 'unexpected EOF' : 'read: connection reset by peer')
    this.how = how
  }
}

const idleMs = 30_000
const maxRedirects = 10

export class Body {
  readonly #message: IncomingMessage
  readonly #wasReset: () => boolean
  #skip = 0

  constructor(message: IncomingMessage, wasReset: () => boolean) {
    this.#message = message
    this.#wasReset = wasReset
  }

  /**
   * Leaving the loop early closes the connection.
   * @throws BodyCut
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    try {
      for await (const chunk of this.#message) {
        const bytes = chunk as Buffer
        const skipped = Math.min(this.#skip, bytes.length)
        this.#skip -= skipped
        if (skipped < bytes.length) yield bytes.subarray(skipped)
      }
    } catch {
      throw new BodyCut(this.#wasReset() ? 'rst' : 'fin')
    }
  }

  async bytes(): Promise<Buffer> {
    const chunks: Buffer[] = []
    for await (const chunk of this) chunks.push(chunk)
    return Buffer.concat(chunks)
  }

  /** Leaves out the first bytes, which the reader has already. */
  skip(bytes: number): void {
    this.#skip = bytes
  }

  /** Reads to the end for nothing, so that the connection can be used again. */
  discard(): void {
    this.#message.on('error', () => {}) // nobody waits for these bytes
    this.#message.resume()
  }
}

interface Exchange {
  reply: IncomingMessage
  wasReset: () => boolean
}

export class ClientHttp {
  readonly requests: SentRequest[] = []
  readonly #agent = new Agent({ keepAlive: true })
  readonly #lookup: LookupFunction | undefined
  readonly #tokens: TokenSource

  constructor({ lookup, credentials }: ClientOptions = {}) {
    this.#lookup = lookup && nodeLookup(lookup)
    this.#tokens = new TokenSource(credentials, (url, headers) => this.#follow('GET', url, headers))
  }

  /** Follows redirects and answers a challenge once, as every client does. */
  async send(method: string, address: string, headers: OutgoingHttpHeaders = {}): Promise<Reply> {
    const url = new URL(address)
    const known = this.#tokens.known(url)
    const first = await this.#follow(method, url, { ...headers, ...known })
    if (first.status !== 401 || known.authorization !== undefined) return first
    const answered = await this.#tokens.answer(url, first.headers['www-authenticate'] ?? '')
    if (!answered) return first
    first.body.discard()
    return this.#follow(method, url, { ...headers, ...answered })
  }

  async #follow(method: string, start: URL, headers: OutgoingHttpHeaders): Promise<Reply> {
    let url = start
    let sent = headers
    for (let hops = 0; hops <= maxRedirects; hops += 1) {
      const reply = await this.#once(method, url, sent)
      const { location } = reply.headers
      if (reply.status < 300 || reply.status > 399 || location === undefined) return reply
      reply.body.discard()
      const next = new URL(location, url)
      if (next.host !== url.host) sent = { ...sent, authorization: undefined }
      url = next
    }
    throw new ClientError(`stopped after ${maxRedirects} redirects`)
  }

  async #once(method: string, url: URL, headers: OutgoingHttpHeaders): Promise<Reply> {
    const entry: SentRequest = { method, url: url.href, headers, status: undefined }
    this.requests.push(entry)
    const message = await this.#exchange(method, url, headers)
    const status = message.reply.statusCode ?? 0
    entry.status = status
    return {
      status,
      headers: message.reply.headers,
      url,
      body: new Body(message.reply, message.wasReset),
    }
  }

  async #exchange(method: string, url: URL, headers: OutgoingHttpHeaders): Promise<Exchange> {
    const present = Object.entries(headers).filter(([, value]) => value !== undefined)
    const outgoing = request(url, {
      method,
      agent: this.#agent,
      headers: Object.fromEntries(present),
      timeout: idleMs,
      ...(this.#lookup ? { lookup: this.#lookup } : {}),
    })
    let failure: NodeJS.ErrnoException | undefined
    outgoing.on('error', error => {
      failure = error
    })
    outgoing.on('timeout', () =>
      outgoing.destroy(new ClientError(`no byte from ${url.host} for ${idleMs} ms`)),
    )
    outgoing.end()
    try {
      const [reply] = (await once(outgoing, 'response')) as [IncomingMessage]
      return { reply, wasReset: () => failure?.code === 'ECONNRESET' && failure.syscall === 'read' }
    } catch (error) {
      // Go repeats a request whose kept-alive connection turned out to be closed.
      if (outgoing.reusedSocket && failure?.code === 'ECONNRESET') return this.#exchange(method, url, headers)
      throw new ClientError(`${method} ${url.href}: ${failure?.message ?? 'failed'}`, { cause: error })
    }
  }
}

/** For the `lookup` option of Node's own sockets and of undici. */
export function nodeLookup(lookup: Lookup): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname).then(
      found => {
        if (options.all) return callback(null, [...found])
        const [first] = found
        return callback(null, first?.address ?? '', first?.family)
      },
      (error: NodeJS.ErrnoException) => callback(error, ''),
    )
  }
}
