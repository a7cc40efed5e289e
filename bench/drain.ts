/** The cheapest reader of many large bodies: kept connections, large reads into one buffer for all, bytes only counted. */
import { connect, type Socket } from 'node:net'
import { connect as connectSecurely } from 'node:tls'
import { nowMs } from './monotonic.ts'
import { type Load, percentile } from './peers/load.ts'

const shared = Buffer.allocUnsafe(512 * 1024)

export interface DrainAsk {
  url: string
  connections: number
  /** No request begins later; those under way end. */
  seconds: number
  headers?: Record<string, string>
  method?: 'GET' | 'HEAD'
}

export async function drain(ask: DrainAsk): Promise<Load> {
  const { url, connections, seconds, headers = {}, method = 'GET' } = ask
  const request = requestOf(url, headers, method)
  const startedMs = nowMs()
  const cpu = process.cpuUsage()
  const answers: Answer[] = []
  await Promise.all(
    Array.from({ length: connections }, async () => {
      using connection = new Connection(url)
      do answers.push(await connection.ask(request, method))
      while (nowMs() < startedMs + seconds * 1000)
    }),
  )
  return loadOf(answers, { startedMs, cpu })
}

export function loadOf(
  answers: readonly Answer[],
  { startedMs, cpu }: { startedMs: number; cpu: NodeJS.CpuUsage },
): Load {
  const elapsed = (nowMs() - startedMs) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const sorted = answers.map(({ tookMs }) => tookMs).toSorted((a, b) => a - b)
  return {
    requests: answers.length,
    bytes: answers.reduce((total, { bytes }) => total + bytes, 0),
    seconds: elapsed,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    longestMs: sorted.at(-1) ?? Number.NaN,
    failed: answers.filter(({ status }) => status < 200 || status > 299).length,
    clientBusy: (user + system) / 1e6 / elapsed,
  }
}

export function requestOf(url: string, headers: Record<string, string> = {}, method = 'GET'): Buffer {
  const { host, pathname } = new URL(url)
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`${method} ${pathname} HTTP/1.1\r\nHost: ${host}\r\n${fields.join('')}\r\n`, 'latin1')
}

export interface Answer {
  /** 0: the connection broke. */
  status: number
  /** Of the body. */
  bytes: number
  tookMs: number
}

/** One request at a time. */
export class Connection implements Disposable {
  readonly #socket: Socket
  #head = ''
  #status = 0
  #length = 0
  #bytes = 0
  #withBody = true
  #over: (() => void) | undefined
  #isBroken = false

  constructor(url: string) {
    this.#socket = this.#connect(new URL(url))
    this.#socket.on('error', () => {}) // `close` follows
    this.#socket.on('close', () => {
      this.#isBroken = true
      this.#over?.()
    })
  }

  #connect({ protocol, hostname: host, port }: URL): Socket {
    if (protocol === 'https:') {
      const socket = connectSecurely({ host, port: Number(port), rejectUnauthorized: false })
      return socket.setNoDelay().on('data', (chunk: Buffer) => this.#take(chunk.length, chunk))
    }
    const callback = (length: number) => {
      this.#take(length, shared)
      return true
    }
    const onread = { buffer: shared, callback }
    return connect({ host, port: Number(port), noDelay: true, onread })
  }

  /** Never rejects. */
  async ask(request: Buffer, method: 'GET' | 'HEAD' = 'GET'): Promise<Answer> {
    const startedMs = nowMs()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#over = resolve
    this.#head = ''
    this.#status = 0
    this.#bytes = 0
    this.#withBody = method !== 'HEAD'
    this.#socket.write(request)
    if (this.#isBroken) resolve()
    await promise
    const isWhole = this.#status > 0 && (!this.#withBody || this.#bytes === this.#length)
    return { status: isWhole ? this.#status : 0, bytes: this.#bytes, tookMs: nowMs() - startedMs }
  }

  #take(length: number, buffer: Buffer): void {
    if (this.#status > 0) this.#bytes += length
    else this.#takeHead(length, buffer)
    if (this.#status > 0 && (!this.#withBody || this.#bytes >= this.#length)) this.#over?.()
  }

  #takeHead(length: number, buffer: Buffer): void {
    const before = this.#head.length
    this.#head += buffer.toString('latin1', 0, Math.min(length, 16_384))
    const end = this.#head.indexOf('\r\n\r\n')
    if (end < 0) return
    this.#status = Number(this.#head.slice(9, 12))
    this.#length = Number(/^content-length: *(\d+)/im.exec(this.#head.slice(0, end))?.[1] ?? 0)
    this.#bytes = before + length - end - 4
  }

  [Symbol.dispose](): void {
    this.#socket.destroy()
  }
}
