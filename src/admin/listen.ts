/** Where the admin API is answered: a Unix socket in the store, and an address of this machine. */
import { once } from 'node:events'
import { chmod, mkdtemp, rename, rm } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import { join } from 'node:path'
import { getRequestListener } from '@hono/node-server'
import type { Hono } from 'hono'
import { whyNotFromHere } from '../edge/writes/access.ts'
import type { Logger } from '../observe/log.ts'
import type { Layout } from '../store/layout.ts'
import { AdminError, failureOf } from './failure.ts'
import { adminSocketOf } from './socket-path.ts'

export interface AdminAddress {
  readonly host: string
  readonly port: number
  /** Nobody asked for this address: Layover does without it when it is taken. */
  readonly isDefault: boolean
}

export interface Listening {
  /** Undefined where there is none. */
  readonly socket: string | undefined
  /** With the port that the system chose. */
  readonly address: Pick<AdminAddress, 'host' | 'port'> | undefined
  /** Takes no new requests; those under way end, or are cut at the deadline. */
  close(deadlineMs: number): Promise<void>
}

export interface ListenDeps {
  readonly app: Hono
  readonly layout: Layout
  readonly log: Logger
}

/** What the systems have room for in the address of a socket, without the zero at its end. */
const maxSocketPathBytes = process.platform === 'linux' ? 107 : 103
const maxConnections = 100
/** A stop need not wait for who may ask again. */
const keepAliveMs = 1_000

/** The address that was asked for cannot be listened on. */
export class AdminUnusable extends Error {
  override readonly name = 'AdminUnusable'
}

/** @throws AdminUnusable */
export async function listenAdmin(address: AdminAddress | undefined, deps: ListenDeps): Promise<Listening> {
  const { app, layout, log } = deps
  const answering = getRequestListener(app.fetch, { overrideGlobalObjects: false, hostname: 'localhost' })
  const answer: RequestListener = (request, response) => void answering(request, response)
  const tcp = address && (await openAddress(address, answer, log))
  const socket = await openSocket(layout, answer, log)
  return {
    socket: socket && adminSocketOf(layout.root),
    address: tcp?.address,
    async close(deadlineMs) {
      if (socket) await rm(adminSocketOf(layout.root), { force: true })
      const servers = [socket, tcp?.server].filter(server => server !== undefined)
      await Promise.all(servers.map(server => closeServer(server, deadlineMs)))
    },
  }
}

async function openAddress(
  { host, port, isDefault }: AdminAddress,
  answer: RequestListener,
  log: Logger,
): Promise<{ server: Server; address: Listening['address'] } | undefined> {
  const server = serverOf((request, response) => {
    const reason = whyNotFromHere({ request, client: request.socket.remoteAddress })
    if (reason === undefined) return answer(request, response)
    const { status, body } = failureOf(
      new AdminError('DENIED', `the admin API is for this machine: ${reason}`),
    )
    response.writeHead(status, { 'content-type': 'application/json', connection: 'close' })
    response.end(JSON.stringify(body))
  })
  try {
    server.listen({ host, port })
    await once(server, 'listening')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (!isDefault)
      throw new AdminUnusable(
        `the admin API cannot listen on ${host}:${port} (${code}): change \`admin.listen\``,
      )
    log.warn(
      { host, port, code },
      'the admin API has its socket alone: set `admin.listen` to a free address, or to off',
    )
    return undefined
  }
  const bound = server.address()
  const boundPort = typeof bound === 'object' && bound ? bound.port : port
  return { server, address: { host, port: boundPort } }
}

/**
 * Made where nobody else may enter, and put in its place when nobody else may connect: that replaces what a killed process
 * left there. Who holds the store's lock is the only one to do so.
 */
async function openSocket(layout: Layout, answer: RequestListener, log: Logger): Promise<Server | undefined> {
  const path = adminSocketOf(layout.root)
  try {
    const folder = await mkdtemp(join(layout.trash, 'admin-'))
    try {
      const hidden = join(folder, 's')
      const bytes = Math.max(Buffer.byteLength(path), Buffer.byteLength(hidden))
      if (bytes > maxSocketPathBytes) {
        const most = maxSocketPathBytes - (bytes - Buffer.byteLength(layout.root))
        log.warn(
          { path },
          `the admin API has no socket: the path of a store that has one is no longer than ${most} bytes`,
        )
        return undefined
      }
      const server = serverOf(answer)
      server.listen(hidden)
      await once(server, 'listening')
      try {
        await chmod(hidden, 0o600)
        await rename(hidden, path)
      } catch (error) {
        server.close()
        throw error
      }
      return server
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  } catch (error) {
    log.warn({ path, err: error }, 'the admin API has no socket: the disk of the store takes none')
    return undefined
  }
}

function serverOf(answer: RequestListener): Server {
  const server = createServer({ requireHostHeader: false, keepAliveTimeout: keepAliveMs }, answer)
  server.maxConnections = maxConnections
  return server
}

async function closeServer(server: Server, deadlineMs: number): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  server.closeIdleConnections()
  const deadline = setTimeout(() => server.closeAllConnections(), deadlineMs)
  await closed
  clearTimeout(deadline)
}
