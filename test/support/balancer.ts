/** What stands in front of several replicas: each request goes to the next of them, whatever connection it came by. */
import { once } from 'node:events'
import {
  type ClientRequest,
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http'
import { pipeline } from 'node:stream/promises'

/** Who may be asked again where the answer did not begin. */
const harmless = new Set(['GET', 'HEAD'])

export class Balancer implements AsyncDisposable {
  /** `host:port`, without TLS. */
  readonly address: string
  readonly #server: Server
  readonly #targets: readonly string[]
  #turns = 0

  private constructor(server: Server, targets: readonly string[]) {
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('the balancer has no port')
    this.address = `127.0.0.1:${address.port}`
    this.#server = server
    this.#targets = targets
    server.on('request', (incoming, response) => {
      this.#relay(incoming, response).catch(() => response.destroy()) // no answer, or it broke off
    })
  }

  /** @param targets URLs of the replicas */
  static async start(targets: readonly string[]): Promise<Balancer> {
    const server = createServer({ requestTimeout: 0, keepAliveTimeout: 120_000 }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Balancer(server, targets)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  /** A replica that refuses is passed over, and so is one that breaks off before it answered a question. */
  async #relay(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const first = this.#turns++
    for (let tried = 1; ; tried += 1) {
      const target = this.#targets[(first + tried) % this.#targets.length] ?? ''
      const outgoing = open(target, incoming).on('error', () => {}) // who waits for it is told
      response.on('close', () => outgoing.destroy())
      try {
        return await give(await answerOf(outgoing, incoming), response)
      } catch (error) {
        if (response.headersSent || tried === this.#targets.length || !mayAskAgain(incoming, error))
          throw error
      }
    }
  }
}

function open(target: string, { url = '/', method = 'GET', rawHeaders }: IncomingMessage): ClientRequest {
  return request(target + url, { method, headers: rawHeaders, agent: false, setHost: false })
}

/** The body is not touched before somebody is there to take it. */
async function answerOf(outgoing: ClientRequest, incoming: IncomingMessage): Promise<IncomingMessage> {
  const answered = once(outgoing, 'response')
  answered.catch(() => {}) // told below, or by `sent`
  const [socket] = await once(outgoing, 'socket')
  if (socket.connecting) await once(socket, 'connect')
  const sent = hasBody(incoming) ? pipeline(incoming, outgoing) : Promise.resolve(outgoing.end())
  sent.catch(() => {}) // an answer may come before the body's end
  const [message] = (await answered) as [IncomingMessage]
  return message
}

async function give(message: IncomingMessage, response: ServerResponse): Promise<void> {
  response.writeHead(message.statusCode ?? 502, message.rawHeaders)
  response.flushHeaders()
  await pipeline(message, response)
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined
}

function mayAskAgain({ method = 'GET' }: IncomingMessage, error: unknown): boolean {
  return harmless.has(method) || (error as NodeJS.ErrnoException).code === 'ECONNREFUSED'
}
