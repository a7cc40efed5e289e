/** A port on loopback for a program that must be told one before it starts. */
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** Below what systems give to connections that go out: one of those would take the port before the program does. */
const range = { first: 15_000, end: 32_000 }
const tries = 100

/** Free at this moment. */
export async function freePort(): Promise<number> {
  for (let tried = 0; tried < tries; tried += 1) {
    const port = randomInt(range.first, range.end)
    if (await isFree(port)) return port
  }
  throw new Error('no port is free')
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch {
    return false // somebody listens there
  }
  server.close()
  await once(server, 'close')
  return true
}
