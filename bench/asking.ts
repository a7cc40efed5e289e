/** The cheapest asker of many small things: a few kept connections, one request at a time on each, bodies only counted. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { nowMs } from './monotonic.ts'

interface Many {
  url: string
  connections: number
}

export interface AskManyAsk extends Many {
  /** Below the URL, each asked for once. */
  paths: readonly string[]
}

export interface PutManyAsk extends Many {
  puts: readonly { path: string; body: Uint8Array; contentType: string }[]
}

export interface AskedMany {
  seconds: number
  /** Answers that were 200 or 201. */
  right: number
  /** CPU of the clients' process meanwhile, of one core. */
  busy: number
}

export function askMany({ url, paths, connections }: AskManyAsk): Promise<AskedMany> {
  const requests = paths.map(path => Buffer.from(head('GET', url + path, ['Accept: */*']), 'latin1'))
  return exchangeAll({ url, connections }, requests)
}

export function putMany({ url, puts, connections }: PutManyAsk): Promise<AskedMany> {
  const requests = puts.map(({ path, body, contentType }) => {
    const fields = [`Content-Type: ${contentType}`, `Content-Length: ${body.length}`]
    return Buffer.concat([Buffer.from(head('PUT', url + path, fields), 'latin1'), body])
  })
  return exchangeAll({ url, connections }, requests)
}

function head(method: string, url: string, fields: readonly string[]): string {
  const { host, pathname, search } = new URL(url)
  const lines = [`${method} ${pathname}${search} HTTP/1.1`, `Host: ${host}`, ...fields]
  return `${lines.join('\r\n')}\r\n\r\n`
}

async function exchangeAll({ url, connections }: Many, requests: readonly Buffer[]): Promise<AskedMany> {
  const { hostname, port } = new URL(url)
  const sockets = Array.from({ length: connections }, () =>
    connect({ host: hostname, port: Number(port), noDelay: true }),
  )
  await Promise.all(sockets.map(socket => once(socket, 'connect')))
  const waiting = requests.values()
  const startedMs = nowMs()
  const cpu = process.cpuUsage()
  const counts = await Promise.all(sockets.map(socket => askOver(socket, waiting)))
  const seconds = (nowMs() - startedMs) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const right = counts.reduce((total, count) => total + count, 0)
  return { seconds, right, busy: (user + system) / 1e6 / seconds }
}

/** Resolves with how many answers were right, when nothing is left to ask or the connection ended. */
function askOver(socket: Socket, waiting: Iterator<Buffer>): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  let right = 0
  let text = ''
  let missing = 0
  const next = () => {
    const { value, done } = waiting.next()
    if (done === true) socket.destroy()
    else socket.write(value)
  }
  socket.on('data', chunk => {
    if (missing > 0) missing -= chunk.length
    else {
      text += chunk.toString('latin1')
      const end = text.indexOf('\r\n\r\n')
      if (end < 0) return
      if (/^HTTP\/1\.1 20[01] /.test(text)) right += 1
      missing = end + 4 + lengthIn(text) - text.length
      text = ''
    }
    if (missing === 0) next()
  })
  socket.on('error', () => {}) // `close` follows
  socket.on('close', () => resolve(right))
  next()
  return promise
}

function lengthIn(head: string): number {
  return Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0)
}
