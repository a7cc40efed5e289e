/** What the tests of the upstream client stand on: scripted servers, names that lead to them, and a clock. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createSecureServer, type ServerOptions } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createLogger } from '../../../src/observe/log.ts'
import { createMetrics } from '../../../src/observe/metrics.ts'
import { type Digest, digestOf } from '../../../src/oci/digest.ts'
import { parseRepositoryName } from '../../../src/oci/name.ts'
import { parseReference } from '../../../src/oci/reference.ts'
import { type Clock, systemClock } from '../../../src/runtime/clock.ts'
import type { Lookup } from '../../../src/runtime/lookup.ts'
import { createUpstream } from '../../../src/upstream/client.ts'
import type { UpstreamOptions } from '../../../src/upstream/upstream.ts'
import { UpstreamError } from '../../../src/upstream/upstream-error.ts'

export const repository = parseRepositoryName('library/alpine')
export const tag = parseReference('3.20')
export const manifest = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: digestOf(Buffer.from('{}')),
      size: 2,
    },
    layers: [],
  }),
)
export const manifestDigest = digestOf(manifest)
export const manifestHeaders = {
  'content-type': 'application/vnd.oci.image.manifest.v1+json',
  'docker-content-digest': manifestDigest,
}
export const indexType = 'application/vnd.oci.image.index.v1+json'

export interface Asked {
  method: string
  url: string
  host: string
  headers: IncomingMessage['headers']
  body: string
}

export interface Scripted extends AsyncDisposable {
  port: number
  asked: Asked[]
  server: Server
  /** `GET /v2/…` of each request, in order. */
  lines(): string[]
  close(): Promise<void>
}

/** A server on loopback that notes what it is asked. */
export async function serve(listener: RequestListener, tls?: ServerOptions): Promise<Scripted> {
  const asked: Asked[] = []
  const noting: RequestListener = (request, response) => {
    const { method = '', url = '', headers } = request
    const entry = { method, url, host: headers.host ?? '', headers, body: '' }
    asked.push(entry)
    request.on('data', chunk => {
      entry.body += String(chunk)
    })
    listener(request, response)
  }
  const server = tls ? createSecureServer(tls, noting) : createServer(noting)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const close = async () => {
    server.closeAllConnections()
    if (server.listening) await new Promise(resolve => server.close(resolve))
  }
  const lines = () => asked.map(({ method, url }) => `${method} ${url}`)
  return { port, asked, server, lines, close, [Symbol.asyncDispose]: close }
}

/** Every name is on this machine, unless the test says where it is. */
export function lookupWith(places: Record<string, string> = {}): Lookup {
  return async hostname => {
    const address = places[hostname] ?? '127.0.0.1'
    if (address === 'ENOTFOUND') throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' })
    return [{ address, family: address.includes(':') ? 6 : 4 }]
  }
}

export function optionsFor(url: string, changes: Partial<UpstreamOptions> = {}): UpstreamOptions {
  return {
    registry: 'hub.test',
    urls: [{ url, credentials: undefined }],
    access: 'public',
    allow: [],
    deny: [],
    authRealms: [],
    allowPrivate: ['127.0.0.0/8'],
    timeouts: { connectMs: 5_000, headersMs: 5_000, revalidateMs: 3_000, idleMs: 5_000 },
    concurrency: { fills: 4, bandwidth: 0 },
    http2: false,
    tls: {},
    proxy: undefined,
    ...changes,
  }
}

/** A client with its log and metrics; the clock and the names are the test's to choose. */
export function clientFor(
  options: UpstreamOptions,
  { clock = systemClock, lookup = lookupWith() }: { clock?: Clock; lookup?: Lookup } = {},
) {
  const logged: string[] = []
  const log = createLogger('info', { write: line => logged.push(line) })
  const metrics = createMetrics()
  const upstream = createUpstream(options, { clock, lookup, loopId: 'test-loop', log, metrics })
  return { upstream, logged, metrics, [Symbol.asyncDispose]: () => upstream.close() }
}

/** Time that passes only when the test says so. */
export class HeldClock implements Clock {
  #ms = 1_000_000
  readonly #sleepers: { at: number; wake: () => void }[] = []

  now(): number {
    return 1_750_000_000_000 + this.#ms
  }

  monotonic(): number {
    return this.#ms
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((wake, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
      this.#sleepers.push({ at: this.#ms + ms, wake })
    })
  }

  advance(ms: number): void {
    this.#ms += ms
    for (const { at, wake } of this.#sleepers) if (at <= this.#ms) wake()
  }
}

/** The failure of a promise that must fail with an UpstreamError. */
export async function failureOf(promise: Promise<unknown>): Promise<UpstreamError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof UpstreamError) return error
    throw error
  }
  throw new Error('expected an UpstreamError, and there was none')
}

export async function readAll(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks)
}

export function blobOf(bytes: number): { content: Buffer; digest: Digest } {
  const content = Buffer.alloc(bytes, 'layover')
  return { content, digest: digestOf(content) }
}

export async function metric(metrics: ReturnType<typeof createMetrics>, name: string): Promise<string[]> {
  const text = await metrics.registry.metrics()
  return text.split('\n').filter(line => line.startsWith(name))
}
