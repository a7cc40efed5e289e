/** Sentinels that tell of another master at the very moment at which they are asked for it. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { expect, test, vi } from 'vitest'
import { connected } from './scene.ts'

const patient = { timeout: 20_000, interval: 20 }
const info = 'role:master\r\nloading:0\r\n'

/** A master that is its own Sentinel, and waits with the name of the master as long as a test says. */
async function masterAndSentinel() {
  const clients = new Set<Socket>()
  const subscribers = new Set<Socket>()
  let gate: PromiseWithResolvers<void> | undefined
  let waiting = 0
  const server = createServer()
  const port = () => (server.address() as AddressInfo).port
  const answers: Record<string, (socket: Socket) => Promise<string> | string> = {
    info: socket => {
      clients.add(socket)
      return bulk(info)
    },
    async sentinel() {
      waiting += 1
      await gate?.promise
      waiting -= 1
      return array('127.0.0.1', String(port()))
    },
    subscribe: socket => {
      subscribers.add(socket)
      return `*3\r\n${bulk('subscribe')}${bulk('+switch-master')}:1\r\n`
    },
    ping: () => '+PONG\r\n',
  }
  const serve = async (socket: Socket, sent: string) => {
    for (const [name = '', about] of commandsOf(sent)) {
      const reply = about === 'sentinels' ? array() : await answers[name]?.(socket)
      socket.write(reply ?? '+OK\r\n')
    }
  }
  server.on('connection', socket => {
    socket.on('error', () => {}) // `close` follows
    socket.on('close', () => {
      clients.delete(socket)
      subscribers.delete(socket)
    })
    socket.on('data', data => void serve(socket, data.toString()))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `redis+sentinel://127.0.0.1:${port()}/main`,
    subscribers,
    hold() {
      gate = Promise.withResolvers()
    },
    release: () => gate?.resolve(),
    /** Who ask for the master now. */
    waiting: () => waiting,
    cut() {
      for (const socket of clients) socket.destroy()
    },
    publish() {
      const message = array('message', '+switch-master', 'main 127.0.0.1 1 127.0.0.1 2')
      for (const socket of subscribers) socket.write(message)
    },
    async [Symbol.asyncDispose]() {
      for (const socket of [...clients, ...subscribers]) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

function commandsOf(sent: string): string[][] {
  return sent.split(/(?=\*\d+\r\n)/).map(command =>
    command
      .split('\r\n')
      .filter(line => line !== '' && !/^[*$]\d+$/.test(line))
      .map(word => word.toLowerCase()),
  )
}

const bulk = (text: string) => `$${text.length}\r\n${text}\r\n`
const array = (...texts: readonly string[]) => `*${texts.length}\r\n${texts.map(bulk).join('')}`

test('who is looking for the master, and is told of another one meanwhile, finds it', async () => {
  await using fake = await masterAndSentinel()
  const redis = await connected(fake.url)
  try {
    await vi.waitFor(() => expect([redis.up, fake.subscribers.size]).toEqual([true, 1]), patient)
    fake.hold()
    fake.cut()
    await vi.waitFor(() => expect(fake.waiting()).toBe(1), patient)
    fake.publish()
    await vi.waitFor(() => expect(fake.subscribers.size).toBe(0), patient) // heard, or nobody listens
    fake.release()
    await vi.waitFor(() => expect(redis.up).toBe(true), patient)
  } finally {
    await redis.close()
  }
})
