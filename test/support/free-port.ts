/** Ports on loopback that nobody else takes while nobody listens there: for a program that must be told one before it starts, for a server that closes and opens again. */
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'

const host = '127.0.0.1'
/** Below what systems give to who asks for any port, and to connections that go out. */
const range = { first: 15_000, end: 32_000 }
const tries = 100

/** Processes that run tests beside each other take turns, and none gives a port twice before it has given all of its own. */
const lanes = 8
const lane = Number(process.env.VITEST_POOL_ID ?? 0) % lanes
const ofLane = Math.floor((range.end - range.first) / lanes)
let turn = randomInt(ofLane) // those of the process before may still be in use

/** Free at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer()
  const port = await listenApart(server)
  server.close()
  await once(server, 'close')
  return port
}

/** The port that it listens at from here on. */
export async function listenApart(server: Server): Promise<number> {
  for (let tried = 0; tried < tries; tried += 1) {
    const port = nextPort()
    if (await mayListen(server, port)) return port
  }
  throw new Error('no port is free')
}

function nextPort(): number {
  turn = (turn + 1) % ofLane
  return range.first + turn * lanes + lane
}

async function mayListen(server: Server, port: number): Promise<boolean> {
  try {
    await once(server.listen(port, host), 'listening')
    return true
  } catch {
    return false // somebody listens there
  }
}
