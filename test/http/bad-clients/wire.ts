/** Connections of clients that no library would make: what is sent is the test's own, byte for byte. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, vi } from 'vitest'

/** However badly the server behaves, a test ends. */
const patienceMs = 20_000

/** @param from the address of the client, where it is not to be the usual one */
export async function dial(base: string, from?: string): Promise<Socket> {
  const { hostname, port } = new URL(base)
  const socket = connect({ port: Number(port), host: hostname, localAddress: from })
  socket.on('error', () => {}) // a reset is one of the ways to be shown the door
  await once(socket, 'connect')
  return socket
}

/** All that comes back until the server ends the connection. */
export async function untilClosed(socket: Socket): Promise<string> {
  const patience = setTimeout(() => socket.destroy(new Error('the server kept the connection')), patienceMs)
  let heard = ''
  socket.on('data', chunk => {
    heard += chunk.toString('latin1')
  })
  if (!socket.closed) await new Promise(resolve => socket.once('close', resolve))
  clearTimeout(patience)
  expect(socket.errored?.message ?? '').not.toContain('the server kept')
  return heard
}

export async function talk(base: string, bytes: string | Buffer): Promise<string> {
  const socket = await dial(base)
  const heard = untilClosed(socket)
  socket.write(bytes)
  return heard
}

/** The statuses of the answers in what was heard. */
export function statusesIn(heard: string): number[] {
  return [...heard.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
}

/** A request's head, and what follows it. */
export function head(line: string, headers: Record<string, string> = {}, body = ''): string {
  const fields = Object.entries({ host: '127.0.0.1', ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  )
  return `${line} HTTP/1.1\r\n${fields.join('')}\r\n${body}`
}

/** Resolves when no more is in use: what broke off is let go a moment later. */
export async function untilHeapBelow(most: number): Promise<void> {
  await vi.waitFor(async () => expect(await heapBytes()).toBeLessThan(most), { timeout: patienceMs })
}

/** What is really in use, garbage apart. */
export async function heapBytes(): Promise<number> {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  if (typeof collect === 'function')
    for (let nth = 0; nth < 2; nth += 1) await collect({ type: 'major', execution: 'async' })
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
