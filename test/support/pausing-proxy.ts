/** A proxy in front of a TCP service that can hold what is on its way, with every connection open, and let it go on later. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export type PausingProxy = Awaited<ReturnType<typeof startPausingProxy>>

export async function startPausingProxy(port: number) {
  const open = new Set<Socket>()
  let isPaused = false
  let isRefusing = false
  const join = (one: Socket, other: Socket) => {
    open.add(one)
    if (isPaused) one.pause()
    one.on('data', chunk => {
      if (!other.write(chunk)) one.pause()
    })
    other.on('drain', () => {
      if (!isPaused) one.resume()
    })
    one.on('error', () => {}) // its close tells
    one.once('end', () => other.end())
    one.once('close', () => {
      open.delete(one)
      other.destroy()
    })
  }
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, socket => {
    if (isRefusing) return void socket.resetAndDestroy()
    const beyond = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    join(socket, beyond)
    join(beyond, socket)
    if (!isPaused) socket.resume()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const cut = () => {
    for (const socket of open) socket.destroy()
  }
  return {
    port: address.port,
    /** Nothing arrives any more, and nobody is told. */
    pause() {
      isPaused = true
      for (const socket of open) socket.pause()
    },
    resume() {
      isPaused = false
      for (const socket of open) socket.resume()
    },
    /** Every connection breaks; new ones are taken, or not. */
    cut({ refusing = false } = {}) {
      isRefusing = refusing
      cut()
    },
    async [Symbol.asyncDispose]() {
      cut()
      server.close()
      await once(server, 'close')
    },
  }
}
