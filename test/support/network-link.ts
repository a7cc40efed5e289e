/** The network between two processes, as a TCP proxy: what goes through it passes, waits, is cut off, refused, delayed or slowed, as a test says from moment to moment. */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Pacer } from '../fake/transmit.ts'
import { freePort } from './free-port.ts'

export class NetworkLink implements AsyncDisposable {
  /** On loopback. */
  readonly port: number
  /** Taken so far. */
  connections = 0
  /** Of both directions. */
  bytes = 0
  readonly #target: number
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  /** Undefined: nothing is held. */
  #gate: PromiseWithResolvers<void> | undefined
  #delayMs = 0
  #pacer: Pacer | undefined

  private constructor(server: Server, { port, target }: { port: number; target: number }) {
    this.#server = server
    this.port = port
    this.#target = target
    server.on('connection', socket => this.#take(socket))
  }

  /** @param target a port on loopback; nobody has to listen there yet */
  static async start(target: number): Promise<NetworkLink> {
    const port = await freePort() // one that nobody gets by chance while the link refuses
    const server = createServer({ allowHalfOpen: true, noDelay: true }).listen(port, '127.0.0.1')
    await once(server, 'listening')
    return new NetworkLink(server, { port, target })
  }

  /** Ends whatever is in force; what was held goes on. */
  async pass(): Promise<void> {
    this.#delayMs = 0
    this.#pacer = undefined
    this.#gate?.resolve()
    this.#gate = undefined
    if (this.#server.listening) return
    this.#server.listen(this.port, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  /** Connections are taken and stay, and no byte passes either way: a host that hangs, a cable that is out. */
  stall(): void {
    this.#gate ??= Promise.withResolvers()
  }

  /** Every connection is reset; new ones are as good as before. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  /** Nobody listens here any more: a process that is gone. */
  async refuse(): Promise<void> {
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.cut()
    await closed
  }

  /** Whatever is sent arrives so much later. */
  delay(ms: number): void {
    this.#delayMs = ms
  }

  /** Bytes a second, both ways and all connections together. */
  limit(bytesPerSecond: number): void {
    this.#pacer = new Pacer(bytesPerSecond)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#gate?.resolve()
    await this.refuse()
    this.cut()
  }

  #take(client: Socket): void {
    this.connections += 1
    const target = connect({ port: this.#target, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const) {
      this.#sockets.add(socket)
      socket.on('error', () => {}) // `close` follows
      socket.on('close', () => {
        this.#sockets.delete(socket)
        if (socket.readableEnded) other.end()
        else other.resetAndDestroy() // as it broke here, so there
      })
    }
    void this.#carry(client, target)
    void this.#carry(target, client)
  }

  async #carry(from: Socket, to: Socket): Promise<void> {
    try {
      for await (const chunk of from.iterator({ destroyOnReturn: false })) {
        await this.#admit(chunk as Buffer)
        if (!to.writable) return
        if (!to.write(chunk as Buffer)) await drained(to)
      }
      await this.#gate?.promise // an end is news too
      to.end()
    } catch {
      // it broke, and both ends are told by `close`
    }
  }

  async #admit({ length }: Buffer): Promise<void> {
    if (this.#delayMs > 0) await sleep(this.#delayMs)
    await this.#pacer?.admit(length)
    await this.#gate?.promise
    this.bytes += length
  }
}

async function drained(socket: Socket): Promise<void> {
  const done = new AbortController()
  const { signal } = done
  try {
    await Promise.race([once(socket, 'drain', { signal }), once(socket, 'close', { signal })])
  } finally {
    done.abort()
  }
}
