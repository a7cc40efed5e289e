/** The HTTP server: every request is an exchange, answered by the distribution API or by a page, and told of when it is over. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { RegistryError } from '../oci/errors.ts'
import { type Witness, watch } from './access-log.ts'
import type { Answer } from './answer.ts'
import { type Exchange, openExchange } from './exchange.ts'
import { clientOf, type Proxies } from './gate/client-address.ts'
import type { Gate } from './gate/gate.ts'
import { type BoundAddress, type ListenAddress, Listener, type Role } from './listener.ts'
import type { HotPath } from './memory/hot-path.ts'
import { createPages, type PagesDeps, pageAt } from './pages.ts'
import { isPassedOn } from './replicas/replica-origin.ts'
import { createResponder } from './respond.ts'
import { Inward } from './siblings/inward.ts'
import type { Inlet } from './siblings/sibling.ts'
import { watchTaken } from './wire.ts'

export interface EdgeDeps extends Witness {
  readonly hotPath: HotPath
  /** The exchange with who it is for. @throws RegistryError for who says so falsely */
  readonly asItsClients?: (exchange: Exchange) => Exchange
  /** Undefined for what is none of the distribution API's: then one of the pages answers. */
  readonly answer: (exchange: Exchange, draining: boolean) => Promise<Answer> | undefined
  readonly pages: Pick<PagesDeps, 'probe' | 'scrape'>
  readonly gate: Pick<Gate, 'admitPage' | 'arrived' | 'ended'>
  /** Whose word is taken of whom they pass on; undefined: nobody's. */
  readonly proxies?: () => Proxies | undefined
  /** Others listen on the same addresses, with connections of their own. */
  readonly sharesAddress?: boolean
  readonly maxConnections: () => number
  readonly connectionsPerClient: () => number
  /** For the headers of a request to arrive. */
  readonly headersMs: () => number
  /** How long a client may take no bytes of an answer. */
  readonly stalledMs: () => number
}

export interface Edge {
  /** Rejects with the system's error, e.g. `EADDRINUSE`. */
  listen(address: ListenAddress): Promise<BoundAddress>
  /** Answers what other processes of ours pass on, at a Unix socket. */
  listenInward(): Promise<Inlet>
  /**
   * Takes over the certificates of the addresses that are listened on, without ending any connection.
   *
   * @throws when one cannot be used
   */
  renew(addresses: readonly ListenAddress[]): void
  /** Not ready from now on: answers end their connections. */
  leave(): void
  /** Takes no new connections and ends the idle ones; resolves when all have ended, or are cut at the deadline. */
  drain(deadlineMs: number): Promise<void>
}

/** What a connection asks for. */
interface Queue {
  /** The answer begun last, or to be begun. */
  last: ServerResponse | undefined
  /** Requests sent ahead of it. */
  waiting: number
}

/** No client of ours sends ahead at all, and each request costs a hundred times its bytes in memory. */
const mostAhead = 100

type Handler = (request: IncomingMessage, response: ServerResponse, role: Role) => void

/**
 * Requests sent ahead wait for the answers before them: one connection never makes us hold more than one. Behind an
 * answer that closes the connection none is looked at (RFC 9112 §9.6).
 */
function queued(answer: Handler): Handler {
  const queues = new WeakMap<Socket, Queue>()
  return (request, response, role) => {
    const { socket } = request
    if (socket.destroyed) return
    const queue = queues.get(socket) ?? { last: undefined, waiting: 0 }
    if (queue.last === undefined) queues.set(socket, queue)
    const before = queue.last
    queue.last = response
    const next = () => {
      if (before?.shouldKeepAlive !== false) answer(request, response, role)
    }
    if (before === undefined || before.writableFinished) return next()
    if (queue.waiting === mostAhead) return void socket.destroy()
    queue.waiting += 1
    before.once('close', () => {
      queue.waiting -= 1
      next()
    })
  }
}

/** Answers every exchange by the one that it is for. */
function createAnswering(deps: EdgeDeps, draining: () => boolean) {
  const responder = createResponder({ draining, stalledMs: deps.stalledMs })
  const pages = getRequestListener(createPages({ ...deps.pages, draining }).fetch, {
    overrideGlobalObjects: false,
    hostname: 'localhost', // for probes of load balancers that speak HTTP/1.0 and send no Host
  })

  const respond = (given: Exchange) => {
    let exchange = given
    try {
      exchange = deps.asItsClients?.(given) ?? given
    } catch (error) {
      const tooMany = given.inward ? undefined : deps.gate.arrived(given.client)
      return void responder.respond(given, Promise.reject(tooMany ?? error))
    }
    const answering = deps.answer(exchange, draining())
    void (answering ? responder.respond(exchange, answering) : respondPage(exchange))
  }
  const respondPage = async (exchange: Exchange) => {
    try {
      // Hono would find a page at other spellings of its path too, which the gate does not know.
      if (!pageAt(exchange.path)) throw new RegistryError('NAME_UNKNOWN', 'there is nothing at this path')
      await deps.gate.admitPage(exchange)
    } catch (error) {
      return responder.respond(exchange, Promise.reject(error))
    }
    await pages(exchange.request, exchange.response)
  }
  return { responder, respond }
}

export function createEdge(deps: EdgeDeps): Edge {
  const listeners: Listener[] = []
  let draining = false
  const { responder, respond } = createAnswering(deps, () => draining)
  const inward = new Inward({ log: deps.log, answer: respond })

  const answer = (request: IncomingMessage, response: ServerResponse, role: Role) => {
    if (request.socket.destroyed) return
    const proxies = deps.proxies?.()
    const isClients = !isPassedOn({ request })
    const client = clientOf(request, proxies)
    const tooMany = isClients ? deps.gate.arrived(client) : undefined
    if (isClients && !tooMany && !draining && deps.hotPath.answer(request, response, client))
      return watchTaken(response, deps.stalledMs())
    const exchange = openExchange(request, response, {
      role,
      client,
      proxied: proxies?.passedOn(request) ?? false,
    })
    watch(exchange, { ...deps, ended: user => deps.gate.ended(user) }, !isClients)
    if (tooMany) return void responder.respond(exchange, Promise.reject(tooMany))
    respond(exchange)
  }

  const inTurn = queued(answer)

  return {
    async listen(address) {
      const listener = new Listener(address, {
        ...deps,
        answer: (request, response) => inTurn(request, response, address.role),
      })
      const bound = await listener.open()
      listeners.push(listener)
      return bound
    },

    listenInward: () => inward.listen(),

    renew(addresses) {
      for (const listener of listeners) listener.renew(addresses)
    },

    leave() {
      draining = true
    },

    async drain(deadlineMs) {
      draining = true
      const closed = Promise.all(listeners.map(listener => listener.close()))
      const deadline = setTimeout(() => {
        for (const listener of listeners) listener.cut()
      }, deadlineMs)
      await closed
      clearTimeout(deadline)
      await inward.close()
    },
  }
}
