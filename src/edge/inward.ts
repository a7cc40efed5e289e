/** The way in for sibling processes: requests of their clients, on a socket in the file system. */
import { once } from 'node:events'
import { chmod, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Logger } from '../observe/log.ts'
import { type Exchange, openExchange } from './exchange.ts'
import { maxHeaderSize, originHeader, readOrigin } from './sibling.ts'

export interface InwardDeps {
  readonly answer: (exchange: Exchange) => void
  readonly log: Logger
}

/** Siblings may begin so many connections at once; the system's own limit is lower. */
const backlog = 65_535

/** Siblings keep their connections: none is closed for being idle just as a request is on its way. */
const noTimeouts = { keepAliveTimeout: 0, headersTimeout: 0, requestTimeout: 0 }

export class Inward {
  readonly #deps: InwardDeps
  readonly #server: Server

  constructor(deps: InwardDeps) {
    this.#deps = deps
    const answer = (request: IncomingMessage, response: ServerResponse) => this.#answer(request, response)
    this.#server = createServer({ ...noTimeouts, maxHeaderSize, requireHostHeader: false }, answer)
    this.#server.maxHeadersCount = 0 // what a client may send is the business of who talks to it
    this.#server.on('checkContinue', answer) // the body is asked for when it is wanted
  }

  /** Takes the place of a socket that a dead process left behind. Rejects with the system's error. */
  async listen(socketPath: string): Promise<void> {
    await rm(socketPath, { force: true })
    this.#server.listen({ path: socketPath, backlog })
    await once(this.#server, 'listening')
    await chmod(socketPath, 0o600)
  }

  /** Cuts what is still going on. */
  close(): Promise<void> {
    return new Promise(resolve => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const told = readOrigin(request.headers[originHeader])
    if (!told) return void response.writeHead(400).end(`this is for processes of the same registry\n`)
    const { httpVersion, ...origin } = told
    request.httpVersion = httpVersion // who may write depends on how the client speaks
    const exchange: Exchange = { ...openExchange(request, response), ...origin, inward: true }
    response.once('close', () => this.#tell(exchange))
    this.#deps.answer(exchange)
  }

  /** A sibling whose answer breaks off does not learn why. */
  #tell({ requestId, response, facts }: Exchange): void {
    if (response.writableFinished || facts.error === undefined) return
    this.#deps.log.debug({ requestId, err: facts.error }, 'an answer to another process broke off')
  }
}
