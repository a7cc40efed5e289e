/** What this process cannot answer: the primary is asked, and its answer handed on. */
import { once } from 'node:events'
import {
  Agent,
  type ClientRequest,
  type ClientRequestArgs,
  type IncomingMessage,
  request as send,
} from 'node:http'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Digest } from '../../oci/digest.ts'
import { systemClock } from '../../runtime/clock.ts'
import type { StoredBlob } from '../../store/contents.ts'
import { SharedFile } from '../../store/files/file.ts'
import { isCode } from '../../store/files/system-error.ts'
import type { Answer } from '../answer.ts'
import type { Exchange } from '../exchange.ts'
import { Follow } from './follow.ts'
import { expects, handOn, hasBody, headersOf, passedOn, relayed } from './relay.ts'
import {
  followHeader,
  type Inlet,
  isOurs,
  type Marked,
  marksHeader,
  maxHeaderSize,
  type Origin,
  originHeader,
  unavailable,
  write,
} from './sibling.ts'

export interface ForwardDeps {
  readonly inlet: Inlet
  /** Opens what the store holds under a digest. */
  readonly open: (digest: Digest) => Promise<StoredBlob | undefined>
  /** Aborted while the primary hangs: nobody waits for it then. */
  readonly silence?: () => AbortSignal
}

/** So often, and so far apart, a connection is begun anew while too many others wait to be taken. */
const busy = { tries: 200, pauseMs: 10 }

export class Forward {
  readonly #deps: ForwardDeps
  readonly #agent = new PatientAgent({ keepAlive: true })

  constructor(deps: ForwardDeps) {
    this.#deps = deps
  }

  /** @throws RegistryError UNAVAILABLE (503) when the primary is not there */
  async answer(exchange: Exchange): Promise<Answer> {
    const mayFollow = exchange.request.method === 'GET' && !hasBody(exchange.request)
    const answer = mayFollow ? await this.#following(exchange) : undefined
    return answer ?? relayed(exchange, await this.#ask(exchange, headersFor(exchange, this.#deps.inlet)))
  }

  async close(): Promise<void> {
    this.#agent.destroy()
  }

  /** Undefined when the file of which the primary tells cannot be read: then the bytes are to come from there. */
  async #following(exchange: Exchange): Promise<Answer | undefined> {
    const reply = await this.#ask(exchange, [...headersFor(exchange, this.#deps.inlet), followHeader, '1'])
    const header = reply.headers[marksHeader]
    if (header === undefined) return relayed(exchange, reply)
    const { path, first, last } = JSON.parse(String(header)) as Marked
    const file = await this.#open(path, exchange.facts.digest as Digest | undefined)
    if (!file) return void reply.destroy()
    const bytes = new Follow(file, reply, first)
    const range = last === undefined ? undefined : { first, last }
    return {
      status: reply.statusCode ?? 0,
      headers: headersOf(reply),
      content: { kind: 'bytes', bytes, range },
    }
  }

  async #open(path: string, digest: Digest | undefined): Promise<SharedFile | undefined> {
    try {
      return await SharedFile.open(path, 'r')
    } catch {
      // A file that is complete gets its digest's name.
      return digest && (await this.#deps.open(digest).catch(() => undefined))?.file
    }
  }

  /** Resolves at the head of the answer. */
  async #ask(exchange: Exchange, headers: readonly string[]): Promise<IncomingMessage> {
    const { request, response } = exchange
    if (response.destroyed) throw new Error('the client has left')
    const { method, url: path } = request
    const { path: socketPath } = this.#deps.inlet
    const signal = this.#deps.silence?.()
    const inner = send({ socketPath, agent: this.#agent, method, path, headers, maxHeaderSize, signal })
    try {
      return await handOn(exchange, { inner, waits: expects(request) })
    } catch (error) {
      throw failure(error as Error, exchange, inner)
    }
  }
}

function failure(cause: Error, { request, response }: Exchange, inner: ClientRequest): Error {
  if (response.destroyed) return new Error('the client has left', { cause })
  if (inner.socket && request.readableDidRead && !inner.writableFinished) {
    response.destroy() // as it would be if it had been sending to the primary itself
    return new Error('the primary took no more of the body', { cause })
  }
  return unavailable('the process that fetches and writes for this one does not answer: try again', cause)
}

/** As the client sent them, and whose they are. */
function headersFor(exchange: Exchange, { secret }: Inlet): string[] {
  const { request, client, certificate, proxied, secure, role, requestId } = exchange
  const { httpVersion } = request
  const origin: Origin = { client, certificate, proxied, secure, role, requestId, httpVersion, secret }
  const asking = expects(request) ? ['expect', String(request.headers.expect)] : []
  return [...passedOn(exchange, isOurs), ...asking, originHeader, write(origin)]
}

/** A socket in the file system refuses connections while too many wait to be taken: they are begun anew. */
class PatientAgent extends Agent {
  override createConnection(
    { path }: ClientRequestArgs,
    created?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    connected(String(path)).then(
      socket => created?.(null, socket),
      (error: Error) => created?.(error, undefined as never),
    )
  }
}

async function connected(path: string): Promise<Socket> {
  for (let tries = 1; ; tries += 1) {
    const socket = connect({ path })
    try {
      await once(socket, 'connect')
      return socket
    } catch (error) {
      if (!isCode(error, 'EAGAIN') || tries === busy.tries) throw error
    }
    await systemClock.sleep(busy.pauseMs)
  }
}
