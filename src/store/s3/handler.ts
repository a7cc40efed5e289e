/** How the AWS SDK's requests reach the service: through undici, which reads a large body in two thirds of the time that Node's own client takes. */
import { Readable } from 'node:stream'
import { rootCertificates } from 'node:tls'
import { Agent, type Dispatcher } from 'undici'
import { timeOuts } from '../../upstream/transport/time-outs.ts'
import type { S3Options } from './options.ts'

/** As the SDK makes one: already signed. */
interface SignedRequest {
  readonly method: string
  readonly protocol: string
  readonly hostname: string
  readonly port?: number
  readonly path: string
  readonly query?: Record<string, string | string[] | null>
  readonly headers: Record<string, string>
  /** Ours are buffers, those of the SDK small texts. */
  readonly body?: Uint8Array | string
}

interface Reply {
  readonly statusCode: number
  readonly headers: Record<string, string>
  readonly body: Readable
}

/** A body goes out in pieces, each of which may take as long as nothing may come. */
const pieceBytes = 256 * 1024

/** What undici calls broken connections, after which another try may be answered. */
const broken = new Set(['UND_ERR_SOCKET', 'UND_ERR_CLOSED', 'UND_ERR_DESTROYED'])

/** How long the service may take to be there, and whom it is believed by. */
export function connectionTo({ ca, timeouts }: Pick<S3Options, 'ca' | 'timeouts'>) {
  return {
    timeout: timeouts.connectMs,
    ...(ca === undefined ? {} : { ca: [...rootCertificates, ca] }),
  }
}

/** Its errors are retried by the SDK as those of its own client would be. */
export class Handler {
  readonly metadata = { handlerProtocol: 'http/1.1' }
  readonly #agent: Agent

  constructor({ ca, timeouts, connections }: Pick<S3Options, 'ca' | 'timeouts' | 'connections'>) {
    this.#agent = new Agent({
      connections,
      allowH2: false, // one connection, with one window, would carry every transfer
      headersTimeout: timeouts.idleMs,
      bodyTimeout: timeouts.idleMs,
      connect: connectionTo({ ca, timeouts }),
    })
  }

  async handle(
    request: SignedRequest,
    { abortSignal }: { abortSignal?: unknown } = {},
  ): Promise<{ response: Reply }> {
    const { method, headers, body } = request
    try {
      const reply = await this.#agent.request({
        origin: originOf(request),
        path: pathOf(request),
        method,
        headers,
        ...(body === undefined ? {} : { body: inPieces(body) }),
        ...(abortSignal === undefined ? {} : { signal: abortSignal as AbortSignal }),
      })
      reply.body.on('error', () => {}) // destroying a body is an error to undici, and not one for the process
      const { statusCode } = reply
      const isRead = isBytes(request, statusCode)
      const told = isRead ? reply.body : Readable.from([await reply.body.bytes()])
      return { response: { statusCode, headers: flat(reply.headers), body: told } }
    } catch (error) {
      throw asTheSdkKnows(error)
    }
  }

  /** The SDK sets what it was configured with on its own handler only. */
  updateHttpClientConfig(): void {}

  httpHandlerConfigs(): Record<string, never> {
    return {}
  }

  destroy(): void {
    void this.#agent.destroy()
  }
}

/** Of an object, which its reader reads; all other answers are small, and the SDK tries again when one breaks off. */
function isBytes({ query }: SignedRequest, status: number): boolean {
  return query?.['x-id'] === 'GetObject' && status < 300
}

function originOf({ protocol, hostname, port }: SignedRequest): string {
  return `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}`
}

function inPieces(body: Uint8Array | string): Readable | Uint8Array | string {
  if (body.length <= pieceBytes || typeof body === 'string') return body
  return Readable.from(piecesOf(body), { objectMode: false })
}

function* piecesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
}

/** In the form that was signed. */
function pathOf({ path, query = {} }: SignedRequest): string {
  const pairs = Object.keys(query)
    .toSorted()
    .flatMap(name => [query[name] ?? ''].flat().map(value => `${encoded(name)}=${encoded(value)}`))
  return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`
}

/** RFC 3986, which `encodeURIComponent` is not quite. */
function encoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    mark => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function flat(headers: Dispatcher.ResponseData['headers']): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(', ') : (value ?? ''),
    ]),
  )
}

function asTheSdkKnows(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (timeOuts.includes(code))
    return Object.assign(new Error('no answer', { cause: error }), { name: 'TimeoutError' })
  if (broken.has(code))
    return Object.assign(new Error('the connection broke', { cause: error }), { code: 'ECONNRESET' })
  return error
}
