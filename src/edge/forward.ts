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
import type { Digest } from '../oci/digest.ts'
import { systemClock } from '../runtime/clock.ts'
import type { StoredBlob } from '../store/contents.ts'
import { SharedFile } from '../store/file.ts'
import { isCode } from '../store/system-error.ts'
import { type Answer, type Headers, noContent } from './answer.ts'
import { type Exchange, isHead } from './exchange.ts'
import { Follow } from './follow.ts'
import {
  factsHeader,
  followHeader,
  type Inlet,
  isOurs,
  type Marked,
  marksHeader,
  maxHeaderSize,
  type Origin,
  originHeader,
  readFacts,
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

/**
 * Headers between one client and us. Others that `Connection` names are passed on: what a proxy in front of us has to
 * say must not be made invisible that way.
 */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])
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
    return answer ?? relayed(exchange, await this.#ask(exchange, passedOn(exchange, this.#deps.inlet)))
  }

  async close(): Promise<void> {
    this.#agent.destroy()
  }

  /** Undefined when the file of which the primary tells cannot be read: then the bytes are to come from there. */
  async #following(exchange: Exchange): Promise<Answer | undefined> {
    const reply = await this.#ask(exchange, [...passedOn(exchange, this.#deps.inlet), followHeader, '1'])
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

  /** Resolves at the head of the answer, what it tells of itself noted. */
  #ask(exchange: Exchange, headers: readonly string[]): Promise<IncomingMessage> {
    const { request, response, facts } = exchange
    if (response.destroyed) return Promise.reject(new Error('the client has left'))
    const { method, url: path } = request
    const { path: socketPath } = this.#deps.inlet
    const signal = this.#deps.silence?.()
    const inner = send({ socketPath, agent: this.#agent, method, path, headers, maxHeaderSize, signal })
    response.once('close', () => inner.destroy())
    pass(exchange, inner)
    return new Promise((resolve, reject) => {
      inner.on('error', error => reject(failure(error, exchange, inner)))
      inner.once('response', reply => {
        request.unpipe(inner) // whatever more the client sends, nobody is going to read
        const told = reply.headers[factsHeader]
        if (told !== undefined) Object.assign(facts, readFacts(String(told)))
        resolve(reply)
      })
    })
  }
}

/** The body, as fast as the primary takes it; a client that waits to be asked for it is asked when the primary asks. */
function pass({ request, response }: Exchange, inner: ClientRequest): void {
  const begin = () => (hasBody(request) ? request.pipe(inner) : inner.end())
  if (!expects(request)) return void begin()
  inner.once('continue', () => {
    response.writeContinue()
    begin()
  })
}

function failure(cause: Error, { request, response }: Exchange, inner: ClientRequest): Error {
  if (response.destroyed) return new Error('the client has left', { cause })
  if (inner.socket && request.readableDidRead && !inner.writableFinished) {
    response.destroy() // as it would be if it had been sending to the primary itself
    return new Error('the primary took no more of the body', { cause })
  }
  return unavailable('the process that fetches and writes for this one does not answer: try again', cause)
}

/** Names and values in turns, as the client sent them, and whose they are. */
function passedOn({ request, client, role, requestId }: Exchange, { secret }: Inlet): string[] {
  const { rawHeaders, httpVersion } = request
  const headers: string[] = []
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = rawHeaders.slice(at, at + 2)
    const lower = name.toLowerCase()
    if (hopByHop.has(lower) || isOurs(lower) || (lower === 'expect' && !expects(request))) continue
    headers.push(name, value)
  }
  const origin: Origin = { client, role, requestId, httpVersion, secret }
  headers.push(originHeader, write(origin))
  const { 'transfer-encoding': encoding } = request.headers
  if (encoding !== undefined)
    headers.push('transfer-encoding', encoding) // whether it will do, the primary says
  else if (request.headers['content-length'] === undefined) headers.push('content-length', '0')
  return headers
}

function relayed(exchange: Exchange, reply: IncomingMessage): Answer {
  const { statusCode: status = 0, headers } = reply
  const answer = { status, headers: headersOf(reply) }
  if (isHead(exchange)) {
    reply.resume() // there is nothing, but for the connection to be used again its end has to be seen
    return { ...answer, content: noContent }
  }
  const length = headers['content-length']
  const relay = { body: bodyOf(reply), close: () => void reply.destroy() }
  return {
    ...answer,
    content: { kind: 'relay', relay, length: length === undefined ? undefined : Number(length) },
  }
}

async function* bodyOf(reply: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    yield* reply as AsyncIterable<Buffer>
  } catch (cause) {
    throw unavailable('the answer broke off on its way here', cause)
  }
}

function headersOf({ headers }: IncomingMessage): Headers {
  const shown = Object.entries(headers).filter(
    ([name]) => !hopByHop.has(name) && !isOurs(name) && name !== 'date',
  )
  return Object.fromEntries(shown.map(([name, value]) => [name, String(value)]))
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

function expects({ headers, httpVersion }: IncomingMessage): boolean {
  return headers.expect !== undefined && httpVersion === '1.1'
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
