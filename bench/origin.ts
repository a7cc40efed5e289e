/** The upstream of a run, as a process of its own: a registry with scripted speed and faults that counts what it is asked for. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Bandwidth } from './bandwidth.ts'
import { answerCalls } from './child.ts'
import { Content, type ContentSpec, MiB } from './content.ts'
import { nowMs } from './monotonic.ts'

/** How a listener behaves; a number is the status of every answer. */
export type Mode = 'well' | 'hang' | 'down' | 401 | 404 | 429 | 500

export interface Fault {
  /** Connections that reach one of these positions are cut there, each position once. */
  cuts?: number[]
  /** The byte at this position is wrong. */
  corruptAt?: number
}

/** One request and what was sent for it. */
export interface Exchange {
  port: number
  method: string
  path: string
  digest: string | undefined
  range: string | undefined
  /** 0: not answered. */
  status: number
  headersMs: number
  /** Body bytes handed to the kernel, and when. */
  sent: { atMs: number; bytes: number }[]
}

export interface Manifest {
  digest: string
  body: string
}

const shapedWriteBytes = 128 * 1024
const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const link = new Bandwidth()
const blobs = new Map<string, Content>()
const faults = new Map<string, Fault>()
const manifests = new Map<string, Manifest>()
const listeners = new Map<number, { server: Server; mode: Mode }>()
let log: Exchange[] = []

export const calls = {
  async listen(): Promise<number> {
    const server = createServer({ keepAliveTimeout: 300_000 }, (request, response) => {
      const { port } = server.address() as AddressInfo
      answer(request, response, port).catch(() => response.destroy()) // the reader left
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    listeners.set(port, { server, mode: 'well' })
    return port
  },

  /** `down` also ends the connections there are. */
  setMode({ port, mode }: { port: number; mode: Mode }): void {
    const listener = listeners.get(port)
    if (!listener) throw new Error(`nothing listens on ${port}`)
    listener.mode = mode
    if (mode !== 'down') return
    listener.server.close()
    listener.server.closeAllConnections()
  },

  /** Bytes a second for everything together; 0 is unlimited. */
  shape(rate: number): void {
    link.rate = rate
  },

  /** Resolves with the digest. */
  addBlob({ fault, ...spec }: ContentSpec & { fault?: Fault }): string {
    const content = new Content(spec)
    const digest = `sha256:${content.sha256}`
    blobs.set(digest, content)
    if (fault) faults.set(digest, fault)
    return digest
  },

  mend(digest: string): void {
    faults.delete(digest)
  },

  /** In every repository under this tag; without a body an image that has no layers. */
  addManifest({ tag, fault, body = imageOf(tag) }: { tag: string; fault?: Fault; body?: string }): Manifest {
    const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`
    const manifest = { digest, body }
    manifests.set(tag, manifest).set(digest, manifest)
    if (fault) faults.set(digest, fault)
    return manifest
  },

  /** Body bytes of it handed to the kernel since the log was taken. */
  sentOf(digest: string): number {
    const sent = log.filter(exchange => exchange.digest === digest).flatMap(exchange => exchange.sent)
    return sent.reduce((total, { bytes }) => total + bytes, 0)
  },

  /** Everything since the last call. What is under way is not told any further. */
  takeLog(): Exchange[] {
    const taken = log
    log = []
    return taken
  },
}

answerCalls(calls)

function imageOf(tag: string): string {
  const config = {
    mediaType: 'application/vnd.oci.image.config.v1+json',
    digest: `sha256:${'0'.repeat(64)}`,
    size: 2,
  }
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: manifestType,
    config,
    layers: [],
    annotations: { tag },
  })
}

async function answer(request: IncomingMessage, response: ServerResponse, port: number): Promise<void> {
  const { method = 'GET', url: path = '/', headers } = request
  const digest = /sha256:[a-f0-9]{64}/.exec(path)?.[0]
  const exchange: Exchange = {
    port,
    method,
    path,
    digest,
    range: headers.range,
    status: 0,
    headersMs: 0,
    sent: [],
  }
  log.push(exchange)
  const mode = listeners.get(port)?.mode ?? 'well'
  if (mode === 'hang') return
  if (path.startsWith('/token'))
    return sendText(exchange, response, { status: 200, body: '{"token":"anonymous"}' })
  if (typeof mode === 'number') return refuse(exchange, response, mode)
  if (path === '/v2/') return sendText(exchange, response, { status: 200, body: '{}' })
  const manifest = manifests.get(path.slice(path.lastIndexOf('/') + 1))
  if (manifest) return sendManifest(exchange, response, manifest)
  const content = blobs.get(digest ?? '')
  if (content) return sendBlob(exchange, response, content)
  refuse(exchange, response, 404)
}

function refuse(exchange: Exchange, response: ServerResponse, status: number): void {
  if (status === 401) {
    response.setHeader(
      'www-authenticate',
      `Bearer realm="http://127.0.0.1:${exchange.port}/token",service="bench"`,
    )
  }
  if (status === 429) response.setHeader('retry-after', '30')
  sendText(exchange, response, {
    status,
    body: JSON.stringify({ errors: [{ code: 'UNKNOWN', message: 'scripted' }] }),
  })
}

function sendManifest(exchange: Exchange, response: ServerResponse, { digest, body }: Manifest): void {
  response.setHeader('docker-content-digest', digest)
  const sent = faults.has(digest) ? body.replace('layers', 'lawyers') : body
  sendText(exchange, response, { status: 200, body: sent, type: manifestType })
}

function sendText(exchange: Exchange, response: ServerResponse, { status, body, type }: Text): void {
  const bytes = Buffer.byteLength(body)
  announce(exchange, response, {
    status,
    headers: { 'content-type': type ?? 'application/json', 'content-length': bytes },
  })
  if (exchange.method !== 'HEAD') exchange.sent.push({ atMs: nowMs(), bytes })
  response.end(exchange.method === 'HEAD' ? undefined : body)
}

async function sendBlob(exchange: Exchange, response: ServerResponse, content: Content): Promise<void> {
  const range = parseRange(exchange.range, content.size)
  const { first, end } = range ?? { first: 0, end: content.size }
  const headers = {
    'content-type': 'application/octet-stream',
    'content-length': end - first,
    'accept-ranges': 'bytes',
    etag: `"${exchange.digest}"`,
    'docker-content-digest': exchange.digest ?? '',
    ...(range ? { 'content-range': `bytes ${first}-${end - 1}/${content.size}` } : {}),
  }
  announce(exchange, response, { status: range ? 206 : 200, headers })
  if (exchange.method === 'HEAD') return void response.end()
  const fault = faults.get(exchange.digest ?? '') ?? {}
  const left = new AbortController()
  response.on('close', () => left.abort())
  for (let position = first; position < end; ) {
    const cut = nextCut(fault, position)
    if (cut === position) return takeCut(fault, cut, response)
    const max = Math.min(end, cut) - position
    const bytes = corrupted(
      content.at(position, Math.min(max, link.rate > 0 ? shapedWriteBytes : MiB)),
      position,
      fault,
    )
    await link.take(bytes.length)
    if (response.destroyed) return
    exchange.sent.push({ atMs: nowMs(), bytes: bytes.length })
    if (!response.write(bytes)) await once(response, 'drain', { signal: left.signal })
    position += bytes.length
  }
  response.end()
}

/** The cut itself is never before the bytes that should have arrived. */
function takeCut(fault: Fault, at: number, response: ServerResponse): void {
  fault.cuts = fault.cuts?.filter(cut => cut !== at) ?? []
  response.socket?.destroySoon()
}

function nextCut({ cuts = [] }: Fault, position: number): number {
  return Math.min(...cuts.filter(cut => cut >= position), Number.POSITIVE_INFINITY)
}

function corrupted(bytes: Buffer, position: number, { corruptAt = -1 }: Fault): Buffer {
  if (corruptAt < position || corruptAt >= position + bytes.length) return bytes
  const wrong = Buffer.from(bytes)
  wrong.writeUInt8(wrong.readUInt8(corruptAt - position) ^ 0xff, corruptAt - position)
  return wrong
}

function announce(exchange: Exchange, response: ServerResponse, { status, headers }: Head): void {
  exchange.status = status
  exchange.headersMs = nowMs()
  response.writeHead(status, headers)
  response.flushHeaders()
}

function parseRange(header: string | undefined, size: number): { first: number; end: number } | undefined {
  const [, from = '', to = ''] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? []
  if (from === '' && to === '') return undefined
  if (from === '') return { first: Math.max(0, size - Number(to)), end: size }
  return { first: Number(from), end: to === '' ? size : Math.min(size, Number(to) + 1) }
}

interface Text {
  status: number
  body: string
  type?: string
}

interface Head {
  status: number
  headers: Record<string, string | number>
}
