/** The links and the balancer that stand between replicas in the tests: they do to connections what they say. */
import { once } from 'node:events'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { describe, expect, test, vi } from 'vitest'
import { send } from '../fault/push/crash-send.ts'
import { Balancer } from '../support/balancer.ts'
import { freePort } from '../support/free-port.ts'
import { isSettled } from '../support/is-settled.ts'
import { NetworkLink } from '../support/network-link.ts'

async function listening(server: Server) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close()
      await once(server, 'close')
    },
  }
}

/** What comes is sent back. */
async function startEcho() {
  const echo = await listening(createServer(socket => socket.on('error', () => {}).pipe(socket)))
  const link = await NetworkLink.start(echo.port)
  return {
    link,
    async [Symbol.asyncDispose]() {
      await link[Symbol.asyncDispose]()
      await echo[Symbol.asyncDispose]()
    },
  }
}

async function open({ port }: NetworkLink): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  await once(socket, 'connect')
  return socket
}

async function echoed(socket: Socket, text: string): Promise<string> {
  const answer = once(socket, 'data')
  socket.write(text)
  return String((await answer)[0])
}

describe('a link', () => {
  test('passes bytes and ends either way', async () => {
    await using at = await startEcho()
    const socket = await open(at.link)
    expect(await echoed(socket, 'hello')).toBe('hello')
    socket.end('bye')
    const rest = await socket.toArray()
    expect(Buffer.concat(rest as Buffer[]).toString()).toBe('bye')
    expect(at.link.connections).toBe(1)
  })

  test('that stalls holds what is sent, and takes connections, until it passes again', async () => {
    await using at = await startEcho()
    const old = await open(at.link)
    expect(await echoed(old, 'before')).toBe('before')
    at.link.stall()
    const young = await open(at.link)
    const answers = Promise.all([echoed(old, 'one'), echoed(young, 'two')])
    expect(await isSettled(answers)).toBe(false)
    expect(at.link.bytes).toBe(12) // six bytes there and back
    await at.link.pass()
    expect(await answers).toEqual(['one', 'two'])
    old.destroy()
    young.destroy()
  })

  test('that is cut resets what is open and takes what is new', async () => {
    await using at = await startEcho()
    const old = await open(at.link)
    expect(await echoed(old, 'x')).toBe('x')
    const failed = once(old, 'error').catch(error => [error])
    at.link.cut()
    expect((await failed)[0]).toMatchObject({ code: 'ECONNRESET' })
    const young = await open(at.link)
    expect(await echoed(young, 'y')).toBe('y')
    young.destroy()
  })

  test('that refuses closes its port, and has the same one when it passes again', async () => {
    await using at = await startEcho()
    await at.link.refuse()
    await expect(open(at.link)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await at.link.pass()
    const socket = await open(at.link)
    expect(await echoed(socket, 'x')).toBe('x')
    socket.destroy()
  })

  test('delays and slows what goes through it', async () => {
    await using at = await startEcho()
    const socket = await open(at.link)
    at.link.delay(50)
    const beganMs = performance.now()
    expect(await echoed(socket, 'x')).toBe('x')
    expect(performance.now() - beganMs).toBeGreaterThan(90) // both ways; a timer may be a little early
    await at.link.pass()
    at.link.limit(4 * 1024 * 1024)
    const slowMs = performance.now()
    let count = 0
    socket.write(Buffer.alloc(512 * 1024))
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
      count += (chunk as Buffer).length
      if (count === 512 * 1024) break
    }
    expect(performance.now() - slowMs).toBeGreaterThan(100) // a MiB in all, less what a timer may catch up with
    socket.destroy()
  })
})

async function startHttp(serve: RequestListener) {
  const server = await listening(createHttpServer(serve))
  return { ...server, url: `http://127.0.0.1:${server.port}` }
}

const named =
  (name: string): RequestListener =>
  (incoming, response) => {
    void incoming.toArray().then(chunks => {
      const body = Buffer.concat(chunks as Buffer[]).toString()
      response.setHeader('host-was', incoming.headers.host ?? '').end(`${name} ${incoming.method} ${body}`)
    })
  }

describe('a balancer', () => {
  test('gives each request to the next one, with its body and the host that was asked', async () => {
    await using one = await startHttp(named('one'))
    await using two = await startHttp(named('two'))
    await using balancer = await Balancer.start([one.url, two.url])
    const url = `http://${balancer.address}/v2/`
    const answers = []
    for (let asked = 0; asked < 4; asked += 1)
      answers.push(await send(url, { method: 'PUT', body: Buffer.from('data') }))
    expect(answers.map(({ body }) => body.toString()).toSorted()).toEqual([
      'one PUT data',
      'one PUT data',
      'two PUT data',
      'two PUT data',
    ])
    expect(answers.map(({ headers }) => headers['host-was'])).toEqual(Array(4).fill(balancer.address))
  })

  test('passes over who refuses, and asks another where a GET got no answer', async () => {
    await using one = await startHttp(named('one'))
    await using broken = await startHttp(incoming => incoming.socket.destroy())
    await using balancer = await Balancer.start([`http://127.0.0.1:${await freePort()}`, broken.url, one.url])
    const url = `http://${balancer.address}/`
    for (let asked = 0; asked < 3; asked += 1) expect((await send(url)).body.toString()).toBe('one GET ')
  })

  test('breaks off where the replica did, and leaves where the client left', async () => {
    const left = vi.fn()
    await using server = await startHttp((incoming, response) => {
      response.on('close', left)
      response.writeHead(200, { 'content-length': 10 })
      response.write('12345', () => {
        if (incoming.url === '/break') response.destroy()
      })
    })
    await using balancer = await Balancer.start([server.url])
    expect(await send(`http://${balancer.address}/break`)).toMatchObject({
      status: 200,
      body: Buffer.alloc(0),
    })
    const asking = await fetch(`http://${balancer.address}/stay`)
    await asking.body?.cancel()
    await vi.waitFor(() => expect(left).toHaveBeenCalledTimes(2))
  })
})
