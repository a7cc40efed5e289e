/** Readers that ask for a body and then take nothing of it. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

const stalled = new Set<Socket>()

export interface StallAsk {
  url: string
  readers: number
}

/** Resolves with how many are connected and have asked. */
export async function stall({ url, readers }: StallAsk): Promise<number> {
  const { hostname, port, host, pathname } = new URL(url)
  for (let reader = 0; reader < readers; reader += 1) {
    const socket = connect({ host: hostname, port: Number(port) }).pause()
    socket.on('error', () => {})
    socket.on('close', () => stalled.delete(socket))
    await once(socket, 'connect')
    socket.write(`GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    stalled.add(socket)
  }
  return stalled.size
}

export function letGo(): void {
  for (const socket of stalled) socket.destroy()
}
