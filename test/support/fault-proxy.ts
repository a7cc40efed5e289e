/** A proxy in front of a TCP service that lets it fail as networks and services do. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export type Fault =
  /** All goes through. */
  | { readonly kind: 'none' }
  /** Connections are taken, and nothing is ever answered. */
  | { readonly kind: 'stall' }
  /** Connections break at once. */
  | { readonly kind: 'refuse' }
  /** Connections break after so many bytes of answers: the next few, or all. */
  | { readonly kind: 'cut'; readonly afterBytes: number; readonly connections?: number }
  /** Connections give no more after so many bytes of answers, and stay. */
  | { readonly kind: 'freeze'; readonly afterBytes: number }
  /** Every piece of an answer comes so late. */
  | { readonly kind: 'slow'; readonly delayMs: number }
  /** Every request is answered so. */
  | { readonly kind: 'answer'; readonly status: number; readonly body: string }

export type FaultProxy = Awaited<ReturnType<typeof startFaultProxy>>

export async function startFaultProxy(port: number) {
  let fault: Fault = { kind: 'none' }
  let connections = 0
  let failing = Number.POSITIVE_INFINITY
  const open = new Set<Socket>()
  const server = createServer(socket => {
    connections += 1
    failing -= 1
    keep(open, socket)
    take(socket, failing < 0 ? { kind: 'none' } : fault, () => {
      const beyond = connect(port, '127.0.0.1')
      keep(open, beyond)
      return beyond
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const cut = () => {
    for (const socket of open) socket.destroy()
  }
  return {
    port: address.port,
    /** Taken so far. */
    get connections() {
      return connections
    },
    /** From here on, also for those who are connected. */
    fail(next: Fault) {
      fault = next
      failing = (next.kind === 'cut' && next.connections) || Number.POSITIVE_INFINITY
      cut()
    },
    async [Symbol.asyncDispose]() {
      cut()
      server.close()
      await once(server, 'close')
    },
  }
}

function take(socket: Socket, fault: Fault, dial: () => Socket): void {
  if (fault.kind === 'refuse') {
    socket.resetAndDestroy()
    return
  }
  if (fault.kind === 'stall') {
    socket.resume()
    return
  }
  if (fault.kind === 'answer') {
    const { status, body } = fault
    socket.on('data', () =>
      socket.end(
        `HTTP/1.1 ${status} Fault\r\ncontent-type: application/xml\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
      ),
    )
    return
  }
  const beyond = dial()
  let left = 'afterBytes' in fault ? fault.afterBytes : Number.POSITIVE_INFINITY
  socket.on('data', (chunk: Buffer) => void beyond.write(chunk))
  const delayMs = fault.kind === 'slow' ? fault.delayMs : 0
  beyond.on('data', (chunk: Buffer) => {
    if (delayMs > 0) {
      setTimeout(() => socket.write(chunk), delayMs)
      return
    }
    if (left > 0) socket.write(chunk.subarray(0, left))
    left -= chunk.length
    if (left <= 0 && fault.kind === 'cut') socket.resetAndDestroy()
  })
  socket.on('close', () => beyond.destroy())
  beyond.on('close', () => setTimeout(() => socket.end(), delayMs))
}

function keep(open: Set<Socket>, socket: Socket): void {
  open.add(socket)
  socket.on('error', () => {}) // it is what the tests are about
  socket.on('close', () => open.delete(socket))
}
