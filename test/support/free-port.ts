/** A port on loopback for a program that must be told one before it starts. */
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** Below what systems give to connections that go out: one of those would take the port before the program does. */
const range = { first: 15_000, end: 32_000 }
/** Test files that run side by side look each in a part of its own. */
const parts = 4
const part = Number(process.env.VITEST_POOL_ID ?? 0) % parts
const count = Math.floor((range.end - range.first) / parts)
const tries = 100

let next = randomInt(count)

/** Free at this moment, and given to nobody else here who may not have taken his yet. */
export async function freePort(): Promise<number> {
  for (let tried = 0; tried < tries; tried += 1) {
    next = (next + 1) % count
    const port = range.first + part * count + next
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
