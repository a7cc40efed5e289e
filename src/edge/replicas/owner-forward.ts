/** Requests on local names, handed on to the replica that owns them. */
import {
  type ClientRequest,
  Agent as HttpAgent,
  type IncomingMessage,
  request as overHttp,
  type RequestOptions,
} from 'node:http'
import { Agent as HttpsAgent, request as overHttps } from 'node:https'
import { type Signatures, signatureHeader } from '../../cluster/peers/signature.ts'
import { type Answer, noContent } from '../answer.ts'
import { type Exchange, isReading } from '../exchange.ts'
import { handOn, hasBody, passedOn, relayed } from '../siblings/relay.ts'
import { maxHeaderSize, unavailable } from '../siblings/sibling.ts'
import { bytesHeader, isReplicas, notOwnerHeader, originHeaders } from './replica-origin.ts'

export interface OwnerForwardDeps {
  readonly signatures: Signatures
  /** PEM; undefined: what Node trusts. */
  readonly ca: string | undefined
}

/** For a connection to be made: replicas are near each other. */
const connectMs = 2_000
/** Without a byte of an answer that has begun. Longer than any client may take none. */
const stalledMs = 300_000
/** Shorter than the owner keeps them, so that none is closed just as a request is on its way. */
const idleMs = 60_000

/** Nothing of the request has been carried out, nor of its body been read: it may be asked again, of another. */
export class NotTaken extends Error {
  override readonly name = 'NotTaken'
}

export class OwnerForward {
  readonly #deps: OwnerForwardDeps
  readonly #http = new HttpAgent({ keepAlive: true, timeout: idleMs })
  readonly #https: HttpsAgent

  constructor(deps: OwnerForwardDeps) {
    this.#deps = deps
    this.#https = new HttpsAgent({
      keepAlive: true,
      timeout: idleMs,
      ...(deps.ca === undefined ? {} : { ca: deps.ca }),
    })
  }

  /**
   * The owner's answer.
   *
   * @param gone aborted when that replica is not to be waited for any more; an answer that has begun goes on
   * @throws NotTaken; RegistryError UNAVAILABLE (503) where it may have been carried out
   */
  async answer(exchange: Exchange, url: string, gone: AbortSignal): Promise<Answer> {
    const { request, response } = exchange
    if (response.destroyed) throw new Error('the client has left')
    const waits = hasBody(request)
    const inner = this.#open(url, {
      method: request.method,
      path: request.url,
      headers: [
        ...passedOn(exchange, isForClientsAlone),
        ...(waits ? ['expect', '100-continue'] : []),
        ...(request.headers.host === undefined ? ['host', new URL(url).host] : []),
        ...originHeaders(exchange, url, this.#deps.signatures),
      ],
    })
    const leave = () => void inner.destroy(new Error('the owner of local names is another one now'))
    gone.addEventListener('abort', leave, { once: true })
    if (gone.aborted) leave()
    try {
      const reply = await handOn(exchange, { inner, waits })
      if (reply.headers[notOwnerHeader] !== undefined) throw refused(reply)
      if (reply.headers[bytesHeader] !== undefined) return leaveIn(reply)
      reply.setTimeout(stalledMs, () => void reply.destroy(new Error('the owner sends nothing more')))
      return relayed(exchange, reply)
    } catch (error) {
      throw failure(error as Error, exchange, inner)
    } finally {
      gone.removeEventListener('abort', leave)
    }
  }

  /** A request of this replica's own; without a body. Its end tells of it. */
  ask(url: string, method: string, path: string): ClientRequest {
    const { signatures } = this.#deps
    const signature = signatures.sign(url, { method, path, speaksFor: '' })
    return this.#open(url, { method, path, headers: { [signatureHeader]: signature } }).end()
  }

  close(): void {
    this.#http.destroy()
    this.#https.destroy()
  }

  #open(url: string, options: RequestOptions): ClientRequest {
    const isTls = url.startsWith('https:')
    const agent = isTls ? this.#https : this.#http
    const inner = (isTls ? overHttps : overHttp)(url, {
      ...options,
      path: options.path,
      agent,
      maxHeaderSize,
    })
    inner.on('error', () => {}) // whoever waits for the answer hears of it
    inner.once('socket', socket => {
      if (!socket.connecting) return
      const late = setTimeout(() => inner.destroy(new Error('no connection to the replica')), connectMs)
      socket.once('connect', () => clearTimeout(late)).once('close', () => clearTimeout(late))
    })
    return inner
  }
}

/** Whoever asks has been let in here; what they showed for it goes no further. */
function isForClientsAlone(name: string): boolean {
  return isReplicas(name) || name === 'authorization'
}

/** Without a body, whose end has to be seen all the same for the connection to be used again. */
function leaveIn(reply: IncomingMessage): Answer {
  reply.resume()
  return { status: 200, headers: { [bytesHeader]: String(reply.headers[bytesHeader]) }, content: noContent }
}

function refused(reply: IncomingMessage): NotTaken {
  reply.resume()
  return new NotTaken('the replica that was asked does not own the local names')
}

function failure(cause: Error, { request, response }: Exchange, inner: ClientRequest): Error {
  if (response.destroyed) return new Error('the client has left', { cause })
  if (cause instanceof NotTaken) return cause
  const wasSent = inner.socket !== null && !inner.socket.connecting && inner.socket.bytesWritten > 0
  const isUntouched = !request.readableDidRead && (!wasSent || isReading({ request }) || isWaiting(request))
  if (isUntouched) return new NotTaken('the owner of local names did not answer', { cause })
  if (request.readableDidRead && !inner.writableFinished) {
    response.destroy() // as it would be if it had been sending to the owner itself
    return new Error('the owner of local names took no more of the body', { cause })
  }
  return unavailable('the owner of local names broke off: try again', cause)
}

/** Nothing is done before its body has come. */
function isWaiting(request: IncomingMessage): boolean {
  return hasBody(request) && request.method !== 'DELETE'
}
