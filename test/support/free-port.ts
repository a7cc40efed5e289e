/** Ports on loopback for what must be told one before it starts, or comes back to it after it has left it. */
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'

/** Below what systems give to connections that go out: one of those would take the port before the program does. */
const range = { first: 15_000, end: 32_000 }
/** Test files that run side by side take different ones. */
const lanes = 4
const lane = Number(process.env.VITEST_POOL_ID ?? 0) % lanes
/** Who was given one may not listen yet: nobody else gets it soon. */
const given = new Set<number>()
const remembered = 1_000
const tries = 100

/** Free at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer()
  const port = await listenOnFreePort(server)
  if (given.size === remembered) given.clear()
  given.add(port)
  server.close()
  await once(server, 'close')
  return port
}

/** Resolves with the port when the server listens. Where it stops, it may come back: the system gives the port to nobody. */
export async function listenOnFreePort(server: Server): Promise<number> {
  for (let tried = 0; tried < tries; tried += 1) {
    const port = lane + lanes * randomInt(range.first / lanes, range.end / lanes)
    if (given.has(port)) continue
    server.listen(port, '127.0.0.1')
    try {
      await once(server, 'listening')
      return port
    } catch {
      // somebody listens there
    }
  }
  throw new Error('no port is free')
}
