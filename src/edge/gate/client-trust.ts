/** Whom one address with TLS lets in by their certificates, also when other authorities hold than a moment ago. */
import { constants } from 'node:crypto'
import type { RequestListener, ServerResponse } from 'node:http'
import type { Server } from 'node:https'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Logger } from '../../observe/log.ts'
import { Quiet } from '../../observe/quiet.ts'
import { certificateOf, remember } from './certificate.ts'

/** Whose certificates clients show. */
export interface ClientAuthority {
  /** PEM, each of them with those between it and its root. */
  readonly ca: string
  /** PEM: what they took back; undefined: nothing is looked up. */
  readonly crl?: string | undefined
  /** Nobody gets in without. */
  readonly isRequired: boolean
}

export class ClientTrust {
  readonly #server: Server
  readonly #log: Logger
  readonly #quiet = new Quiet()
  #authority: ClientAuthority | undefined
  /** Connections whose handshake goes on, by where they come from. */
  readonly #shaking = new Map<string, Socket>()
  readonly #open = new Set<TLSSocket>()
  readonly #answering = new Set<ServerResponse>()
  /** Connections that are not let in, and why; those of clients that were are not let in any more. */
  readonly #refused = new WeakMap<Socket, string>()
  readonly #ended = new WeakSet<Socket>()

  constructor(server: Server, authority: ClientAuthority | undefined, log: Logger) {
    this.#server = server
    this.#log = log
    this.#authority = authority
    server.on('connection', (socket: Socket) => this.#began(socket))
    server.on('secureConnection', socket => this.#agreed(socket))
  }

  /** Answers who was let in. */
  guard(answer: RequestListener): RequestListener {
    return (request, response) => {
      const { socket } = request
      if (this.#isOver(socket)) return void socket.destroy() // unheard: it may be asked again
      const reason = this.#refused.get(socket)
      if (reason !== undefined) return refuse(response, reason)
      this.#answering.add(response)
      response.once('close', () => {
        this.#answering.delete(response)
        if (this.#ended.has(socket)) socket.destroySoon()
      })
      answer(request, response)
    }
  }

  /** From now on these authorities hold: connections that are open end after the answer that they wait for. */
  renew(authority: ClientAuthority | undefined): void {
    this.#authority = authority
    for (const socket of this.#shaking.values()) socket.destroy() // they would be judged by what held before
    for (const socket of this.#open) this.#ended.add(socket)
    for (const response of this.#answering) response.shouldKeepAlive = false
    this.#server.closeIdleConnections()
  }

  #began(socket: Socket): void {
    const from = endOf(socket)
    this.#shaking.set(from, socket)
    socket.once('close', () => {
      if (this.#shaking.get(from) === socket) this.#shaking.delete(from)
    })
  }

  #agreed(socket: TLSSocket): void {
    this.#shaking.delete(endOf(socket))
    this.#open.add(socket)
    socket.once('close', () => this.#open.delete(socket))
    if (!this.#authority) return
    const reason = this.#judge(socket, this.#authority)
    if (reason === undefined) return
    this.#refused.set(socket, reason)
    this.tell(socket, reason)
  }

  /** Why it is not let in: Node itself has turned away who had to show one and did not. */
  #judge(socket: TLSSocket, { isRequired }: ClientAuthority): string | undefined {
    const certificate = socket.getPeerX509Certificate()
    if (!certificate) return isRequired ? 'none was shown' : undefined
    // A server's is the code alone, whatever its type says.
    if (!socket.authorized) return String(socket.authorizationError)
    try {
      remember(socket, certificate)
      return undefined
    } catch (error) {
      return (error as Error).message
    }
  }

  /** Whoever keeps a connection open is not let in for ever: the next handshake says what holds by now. */
  #isOver(socket: Socket): boolean {
    return (
      this.#ended.has(socket) || Date.now() >= (certificateOf(socket)?.endsAt ?? Number.POSITIVE_INFINITY)
    )
  }

  /** One line a minute for each cause; of a connection that Node has closed already nobody knows whose it was. */
  tell({ remoteAddress: client }: Socket, reason: string): void {
    this.#quiet.say(reason, () => this.#log.warn({ client, reason }, 'a client certificate is refused'))
  }
}

/** What `authorized` and Node's own refusals rest on. */
export function verification(authority: ClientAuthority | undefined) {
  return { requestCert: authority !== undefined, rejectUnauthorized: authority?.isRequired === true }
}

/**
 * What the secure context needs. A session that goes on brings the verdict on its certificate along, and each time a new
 * ticket: who has one would be let in for ever after the certificate, or the list of those taken back, has expired.
 */
export function authorities(authority: ClientAuthority | undefined) {
  if (!authority) return {}
  const { ca, crl } = authority
  const secureOptions = constants.SSL_OP_NO_TICKET
  return crl === undefined ? { ca, secureOptions } : { ca, crl, secureOptions }
}

/** It is not a challenge: another password would not help, and a mistake is to be seen. */
function refuse(response: ServerResponse, reason: string): void {
  const message = `the client certificate that was shown is not accepted here: ${reason}`
  response.writeHead(403, { 'content-type': 'application/json', connection: 'close' })
  response.end(JSON.stringify({ errors: [{ code: 'DENIED', message }] }))
}

function endOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}
