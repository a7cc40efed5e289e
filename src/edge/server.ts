/** The HTTP server: every request is an exchange, answered by the distribution API or by a page, and told of when it is over. */

import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { BufferPool } from '../stream/buffer-pool.ts'
import { type Witness, watch } from './access-log.ts'
import { openExchange } from './exchange.ts'
import type { HotPath } from './hot-path.ts'
import { createPages, type PagesDeps } from './pages.ts'
import { answerRegistry, type RegistryDeps } from './registry.ts'
import { createResponder } from './respond.ts'

/** Longer than the idle time of any client's pool (Go: 90 s), so that none reuses a connection that is being closed. */
const keepAliveMs = 120_000
/** For the headers of a request to arrive. Bodies and answers may take as long as they keep moving. */
const headersMs = 65_000

export interface EdgeDeps extends Witness, Pick<PagesDeps, 'probe' | 'beforeScrape'> {
  readonly hotPath: HotPath
  /** Read for each request, so that a reload takes effect at once. */
  registry(): RegistryDeps
  readonly maxConnections: () => number
  /** How long a client may take no bytes of an answer. */
  readonly stalledMs: () => number
}

export interface Edge {
  /** Rejects with the system's error, e.g. `EADDRINUSE`. */
  listen(address: { host: string; port: number }): Promise<{ host: string; port: number }>
  /** Takes no new connections and ends the idle ones; resolves when all have ended, or are cut at the deadline. */
  drain(deadlineMs: number): Promise<void>
}

export function createEdge(deps: EdgeDeps): Edge {
  const servers: Server[] = []
  let draining = false
  const responder = createResponder({
    pool: new BufferPool(),
    draining: () => draining,
    stalledMs: deps.stalledMs,
  })
  const pages = getRequestListener(createPages({ ...deps, draining: () => draining }).fetch, {
    overrideGlobalObjects: false,
    hostname: 'localhost', // for probes of load balancers that speak HTTP/1.0 and send no Host
  })

  const answer = (request: IncomingMessage, response: ServerResponse) => {
    if (request.socket.destroyed) return
    if (!draining && deps.hotPath.answer(request, response)) return
    const exchange = openExchange(request, response)
    watch(exchange, deps)
    const answering = answerRegistry(exchange, deps.registry())
    void (answering ? responder.respond(exchange, answering) : pages(request, response))
  }

  const latest = new WeakMap<Socket, ServerResponse>()
  /**
   * Requests sent ahead wait for the answers before them: one connection never makes us hold more than one. Behind an
   * answer that closes the connection none is looked at (RFC 9112 §9.6).
   */
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    const before = latest.get(request.socket)
    latest.set(request.socket, response)
    const next = () => {
      if (before?.shouldKeepAlive !== false) answer(request, response)
    }
    if (before === undefined || before.writableFinished) next()
    else before.once('close', next)
  }

  return {
    async listen({ host, port }) {
      const server = createServer(
        { keepAliveTimeout: keepAliveMs, headersTimeout: headersMs, requestTimeout: 0 },
        listener,
      )
      server.maxConnections = deps.maxConnections()
      server.on('connection', () => {
        server.maxConnections = deps.maxConnections() // as it is now, after a reload
      })
      server.on('checkContinue', listener) // the answer comes without the body having been asked for
      server.listen(port, host)
      await once(server, 'listening')
      servers.push(server)
      const bound = server.address()
      return { host, port: typeof bound === 'object' && bound ? bound.port : port }
    },

    async drain(deadlineMs) {
      draining = true
      const closed = Promise.all(servers.map(server => closeServer(server)))
      const deadline = setTimeout(() => {
        for (const server of servers) server.closeAllConnections()
      }, deadlineMs)
      await closed
      clearTimeout(deadline)
    },
  }
}

function closeServer(server: Server): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve())
    server.closeIdleConnections()
  })
}
