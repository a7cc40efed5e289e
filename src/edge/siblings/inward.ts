/** The way in for sibling processes: requests of their clients, on a Unix socket. */
import { randomUUID, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Logger } from '../../observe/log.ts'
import { type Exchange, openExchange } from '../exchange.ts'
import { type Inlet, maxHeaderSize, type Origin, originHeader, readOrigin } from './sibling.ts'

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
  readonly #secret = randomUUID()

  constructor(deps: InwardDeps) {
    this.#deps = deps
    const answer = (request: IncomingMessage, response: ServerResponse) => this.#answer(request, response)
    this.#server = createServer({ ...noTimeouts, maxHeaderSize, requireHostHeader: false }, answer)
    this.#server.maxHeadersCount = 0 // what a client may send is the business of who talks to it
    this.#server.on('checkContinue', answer) // the body is asked for when it is wanted
  }

  /** Resolves with where. Rejects with the system's error. */
  async listen(): Promise<Inlet> {
    const path = await freePath()
    this.#server.listen({ path, backlog })
    await once(this.#server, 'listening')
    return { path, secret: this.#secret }
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
    if (!told || !this.#knows(told))
      return void response.writeHead(403).end(`this is for processes of the same registry\n`)
    const { httpVersion, secret: _, ...origin } = told
    request.httpVersion = httpVersion // who may write depends on how the client speaks
    const exchange: Exchange = { ...openExchange(request, response), ...origin, inward: true }
    response.once('close', () => this.#tell(exchange))
    this.#deps.answer(exchange)
  }

  #knows({ secret }: Origin): boolean {
    const [given, ours] = [Buffer.from(secret), Buffer.from(this.#secret)]
    return given.length === ours.length && timingSafeEqual(given, ours)
  }

  /** A sibling whose answer breaks off does not learn why. */
  #tell({ requestId, response, facts }: Exchange): void {
    if (response.writableFinished || facts.error === undefined) return
    this.#deps.log.debug({ requestId, err: facts.error }, 'an answer to another process broke off')
  }
}

/**
 * Linux has sockets that lie in no file system: they need no disk, and leave nothing behind. Whoever is on the machine may
 * knock there, hence the secret. Elsewhere a folder is made that only we may enter.
 */
async function freePath(): Promise<string> {
  if (process.platform === 'linux') return `\0layover-${randomUUID()}`
  return join(await mkdtemp(join(tmpdir(), 'layover-')), 'socket')
}
