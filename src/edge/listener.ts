/** One address that is listened on, with or without TLS. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server as HttpServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import { createServer as createTcpServer, type Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { createSecureContext } from 'node:tls'
import { isDeepStrictEqual } from 'node:util'
import type { Logger } from '../observe/log.ts'
import { authorities, type ClientAuthority, ClientTrust, verification } from './gate/client-trust.ts'

/** `mirror` takes pulls only. */
export type Role = 'registry' | 'mirror'

/** What a server shows of itself, both as PEM: its certificate in front of those between it and its root. */
export interface Identity {
  readonly cert: string
  readonly key: string
  /** Who vouches for its clients; undefined: they are not asked for certificates. */
  readonly clients?: ClientAuthority | undefined
}

export interface ListenAddress {
  readonly host: string
  readonly port: number
  readonly role: Role
  /** Undefined: plain HTTP. */
  readonly tls: Identity | undefined
}

/** What is listened on, as may be told to everybody. */
export interface BoundAddress extends Omit<ListenAddress, 'tls'> {
  readonly tls: boolean
}

export interface ListenerOptions {
  readonly log: Logger
  readonly answer: RequestListener
  readonly maxConnections: () => number
  /** Of one address; 0: as many as there may be in all. */
  readonly connectionsPerClient: () => number
  /** For the headers of a request to arrive. Bodies and answers may take as long as they keep moving. */
  readonly headersMs: () => number
  /** Others listen on the same address, with connections of their own. */
  readonly sharesAddress?: boolean
  /** For a client to finish its TLS handshake. */
  readonly handshakeMs?: number
}

/** Longer than the idle time of any client's pool (Go: 90 s), so that none reuses a connection that is being closed. */
const keepAliveMs = 120_000
/** How often it is looked whose headers are late. */
const lateEveryMs = 1_000
const handshakeMs = 10_000
/** As OpenSSL has them: a name, and keys for what is encrypted and authenticated. */
const ticketKeyBytes = 48
/** Connections that wait to be taken: as many as the system keeps (`net.core.somaxconn`). One too many is tried again only after a second. */
const backlog = 65_535

/**
 * Each server has a queue of its own, into which the system puts its share of the connections; one that dies takes no more.
 * Elsewhere the cluster module hands them out.
 */
const mayShare = ['linux', 'freebsd'].includes(process.platform)

const httpOptions = {
  keepAliveTimeout: keepAliveMs,
  requestTimeout: 0,
  connectionsCheckingInterval: lateEveryMs,
}

export class Listener {
  /** Once it listens, with the port that the system chose. */
  #address: ListenAddress
  readonly #log: Logger
  readonly #sharesAddress: boolean
  readonly #server: HttpServer
  /** Undefined: plain HTTP. */
  readonly #tls: TlsServer | undefined
  readonly #trust: ClientTrust | undefined
  /** All of them: a TLS handshake that goes on is no connection of HTTP's yet. */
  readonly #sockets = new Set<Socket>()
  /** Connections by the address of their client. */
  readonly #clients = new Map<string, number>()
  #identity: Identity | undefined

  constructor(address: ListenAddress, options: ListenerOptions) {
    const { log, answer, sharesAddress = false } = options
    this.#address = address
    this.#sharesAddress = sharesAddress
    this.#log = log
    this.#identity = address.tls
    this.#tls = address.tls && this.#createTls(address.tls, options)
    this.#trust = this.#tls && new ClientTrust(this.#tls, address.tls?.clients, log)
    this.#server = this.#tls ?? createServer(httpOptions)
    const guarded = this.#trust?.guard(answer) ?? answer
    this.#server.on('request', guarded)
    // Else a cluster hands on one that is too many, round and round. Its types do not know of it.
    Object.assign(this.#server, { dropMaxConnection: true })
    this.#limit(options)
    this.#server.on('connection', (socket: Socket) => {
      this.#limit(options)
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
      this.#count(socket, options.connectionsPerClient())
    })
    this.#server.on('checkContinue', guarded) // the answer comes without the body having been asked for
  }

  /** Rejects with the system's error, e.g. `EADDRINUSE`. */
  async open(): Promise<BoundAddress> {
    const { host, port, role } = this.#address
    this.#server.listen({ port, host, backlog, reusePort: this.#sharesAddress && mayShare })
    await once(this.#server, 'listening')
    this.#tls?.setTicketKeys(randomBytes(ticketKeyBytes)) // the cluster module hands on those of the first server
    const bound = this.#server.address()
    const boundPort = typeof bound === 'object' && bound ? bound.port : port
    this.#address = { ...this.#address, port: boundPort }
    return { role, tls: this.#tls !== undefined, host, port: boundPort }
  }

  /**
   * Whoever connects from now on is shown what this address has among these; connections that are open stay, unless
   * other authorities vouch for clients now.
   *
   * @throws when it cannot be used, and keeps the old one
   */
  renew(addresses: readonly ListenAddress[]): void {
    const next = addresses.find(address => this.#isHere(address))?.tls
    const known = this.#identity
    if (!this.#tls || !next || isDeepStrictEqual(next, known)) return
    this.#tls.setSecureContext(secureOptions(next)) // with new ticket keys: no session outlives it
    this.#identity = next
    const { host, port } = this.#address
    if (next.cert !== known?.cert || next.key !== known.key)
      this.#log.info({ host, port }, 'a new certificate is in use')
    if (isDeepStrictEqual(next.clients, known?.clients)) return
    Object.assign(this.#tls, verification(next.clients)) // its types do not know of it; ClientTrust looks again
    this.#trust?.renew(next.clients)
    this.#log.info({ host, port }, 'other certificates of clients are taken from now on')
  }

  /** Takes no new connections and ends the idle ones; resolves when all have ended. */
  close(): Promise<void> {
    return new Promise(resolve => {
      this.#server.close(() => resolve())
      this.#server.closeIdleConnections()
    })
  }

  /** Cuts every connection there is. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** One too many of the same client is closed at once. */
  #count(socket: Socket, most: number): void {
    const client = socket.remoteAddress
    if (client === undefined) return // gone already
    const open = (this.#clients.get(client) ?? 0) + 1
    this.#clients.set(client, open)
    socket.once('close', () => {
      const left = (this.#clients.get(client) ?? 1) - 1
      if (left === 0) this.#clients.delete(client)
      else this.#clients.set(client, left)
    })
    if (most > 0 && open > most) socket.destroy()
  }

  /** As it is now, after a reload. */
  #limit({ maxConnections, headersMs }: ListenerOptions): void {
    this.#server.maxConnections = maxConnections()
    this.#server.headersTimeout = headersMs()
  }

  #isHere(address: ListenAddress): boolean {
    const { port } = address.port === 0 ? address : this.#address // whichever the system chose
    return isSamePlace(address, { ...this.#address, port })
  }

  #createTls(identity: Identity, options: ListenerOptions): TlsServer {
    const server = createTlsServer({
      ...httpOptions,
      ...secureOptions(identity),
      ...verification(identity.clients),
      ALPNProtocols: ['http/1.1'],
      handshakeTimeout: options.handshakeMs ?? handshakeMs,
    })
    server.on('tlsClientError', ({ message }, socket) => {
      const { remoteAddress: client, authorizationError: refusal } = socket
      this.#log.debug({ client, error: message }, 'a TLS handshake failed')
      if (refusal) this.#trust?.tell(socket, String(refusal))
    })
    return server
  }
}

/** Whether a process that listens on the one need not start anew for the other. */
export function isSamePlace(one: ListenAddress, other: ListenAddress): boolean {
  return (
    one.host === other.host &&
    one.port === other.port &&
    one.role === other.role &&
    (one.tls === undefined) === (other.tls === undefined)
  )
}

/** Servers of a primary that was killed leave a moment after it. */
const leaving = { tries: 20, pauseMs: 100 }

/** Rejects with the system's error when somebody else listens there, who would get a share of the connections. */
export async function assertFree(addresses: readonly ListenAddress[]): Promise<void> {
  for (const { host, port } of addresses) {
    for (let tries = 1; ; tries += 1) {
      try {
        await tryToListen(host, port)
        break
      } catch (error) {
        if (tries === leaving.tries) throw error
      }
      await setTimeout(leaving.pauseMs)
    }
  }
}

async function tryToListen(host: string, port: number): Promise<void> {
  const trial = createTcpServer().listen({ host, port, exclusive: true })
  await once(trial, 'listening')
  trial.close()
  await once(trial, 'close')
}

/** @throws when a certificate cannot be used with its key */
export function assertUsable(addresses: readonly ListenAddress[]): void {
  for (const { tls } of addresses) if (tls) createSecureContext(secureOptions(tls))
}

function secureOptions({ cert, key, clients }: Identity) {
  return { cert, key, ...authorities(clients), minVersion: 'TLSv1.2' as const }
}
