/** One host of the stand-in internet: its port, its handler, and the faults that meet its requests. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createSecureServer } from 'node:http2'
import type { Server, Socket } from 'node:net'
import { listenApart } from '../support/free-port.ts'
import type { Answer, Handler, Request } from './answer.ts'
import { applies, type Fault, isEarly } from './fault.ts'
import { earlyAnswer, spoil } from './fault-answers.ts'
import { bareLineFeeds } from './rate-limit-answers.ts'
import type { LoggedRequest, RequestLog } from './request-log.ts'
import { breakOff, type Exchange, goAway, type Pacer, transmit } from './transmit.ts'

export interface ListenerContext {
  log: RequestLog
  faults: readonly Fault[]
  now: () => number
}

/** A host that has this speaks TLS, with HTTP/2 for those who can. */
export interface ListenerTls {
  cert: string
  key: string
  /** Clients must have a certificate of this authority. */
  clientCa?: string
}

export class Listener {
  readonly host: string
  handler: Handler
  pacer: Pacer | undefined
  /** Connections accepted so far. */
  connections = 0
  #port = 0
  #server: Server
  readonly #context: ListenerContext
  readonly #tls: ListenerTls | undefined
  readonly #sockets = new Set<Socket>()
  readonly #requestsOf = new WeakMap<Socket, number>()

  constructor(host: string, context: ListenerContext, tls?: ListenerTls) {
    this.host = host
    this.handler = () => {
      throw new Error(`${host} was asked before it was set up`)
    }
    this.#context = context
    this.#tls = tls
    this.#server = this.#build()
  }

  get port(): number {
    return this.#port
  }

  get url(): string {
    return `${this.#tls ? 'https' : 'http'}://${this.host}:${this.#port}`
  }

  /** Takes a free port the first time, and the same one again after `refuse`: nobody else has it meanwhile. */
  async listen(): Promise<void> {
    if (this.#server.listening) return
    this.#server = this.#build()
    if (this.#port === 0) this.#port = await listenApart(this.#server)
    else await once(this.#server.listen(this.#port, '127.0.0.1'), 'listening')
  }

  /** Closes the port and every connection: nothing answers here any more. */
  refuse(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.refuse()
    await closed
  }

  #build(): Server {
    const serve = (incoming: IncomingMessage, response: ServerResponse) => {
      void this.#serve(incoming, response)
    }
    const server = this.#tls
      ? secureServer(this.#tls, serve)
      : createServer({ keepAliveTimeout: 120_000, requestTimeout: 0 }, serve)
    server.on('connection', (socket: Socket) => {
      this.connections += 1
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    return server
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => {}) // the peer went away: 'close' follows, and the log says so
    const request = await this.#read(incoming).catch(() => undefined)
    if (!request) return // the peer broke off before it had asked
    const entry = this.#context.log.add(request)
    response.on('close', () => entry.close(response.writableFinished))
    const exchange = { request, response, entry, pacer: this.pacer }
    try {
      await this.#answer(exchange)
    } catch (error) {
      // A mistake in the stand-in itself must not look like a fault of the network.
      process.emitWarning(error instanceof Error ? error : String(error))
      response.destroy()
    }
  }

  async #answer(exchange: Exchange): Promise<void> {
    const { request } = exchange
    let answer: Answer | undefined
    for (const fault of this.#context.faults) {
      if (!fault.meets(request)) continue
      if (isEarly(fault.spec)) {
        if (await this.#early(exchange, fault)) return
        continue
      }
      answer ??= await this.handler(request)
      if (applies(fault.spec, request, answer) && fault.take()) {
        return transmit(exchange, spoil(fault, answer, request))
      }
    }
    await transmit(exchange, { answer: answer ?? (await this.handler(request)) })
  }

  /** True when the fault was the answer. */
  async #early(exchange: Exchange, fault: Fault): Promise<boolean> {
    const { request, response } = exchange
    const { spec } = fault
    if (!isEarly(spec) || spec.kind === 'refuse') return false
    if (spec.kind === 'drop-reused' && !this.#reused(response)) return false
    if (!fault.take()) return false
    if (spec.kind === 'hang') {
      fault.markReached()
      await Promise.race([fault.released, once(response, 'close')])
      return response.destroyed
    }
    if (spec.kind === 'drop' || spec.kind === 'drop-reused') {
      await breakOff(response, spec.kind === 'drop' ? (spec.how ?? 'fin') : 'fin')
    } else if (spec.kind === 'go-away') {
      goAway(response)
    } else if (spec.kind === 'rate-limited' && spec.form === 'hap429-bare-lf') {
      this.#bare(exchange)
    } else {
      await transmit(exchange, { answer: earlyAnswer(spec, request, this.#context.now()) })
    }
    return true
  }

  #bare({ response, entry }: { response: ServerResponse; entry: LoggedRequest }): void {
    entry.status = 429
    response.socket?.end(bareLineFeeds)
  }

  #reused(response: ServerResponse): boolean {
    return response.socket !== null && (this.#requestsOf.get(response.socket) ?? 0) > 1
  }

  async #read(incoming: IncomingMessage): Promise<Request> {
    const { socket } = incoming
    this.#requestsOf.set(socket, (this.#requestsOf.get(socket) ?? 0) + 1)
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
    const [path = '', query = ''] = (incoming.url ?? '').split('?', 2)
    return {
      host: this.host,
      method: incoming.method ?? '',
      path,
      query: new URLSearchParams(query),
      headers: incoming.headers,
      body: Buffer.concat(chunks).toString(),
      address: socket.remoteAddress ?? '',
    }
  }
}

function secureServer(
  { cert, key, clientCa }: ListenerTls,
  serve: (incoming: IncomingMessage, response: ServerResponse) => void,
): Server {
  const client = clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }
  const server = createSecureServer({ cert, key, allowHTTP1: true, ...client }, (incoming, response) => {
    // Node's compatibility layer: the same methods over HTTP/2.
    serve(incoming as unknown as IncomingMessage, response as unknown as ServerResponse)
  })
  server.on('sessionError', () => {}) // the peer broke off: the log says so
  return server
}
