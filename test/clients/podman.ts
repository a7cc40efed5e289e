/** containers/image (podman, CRI-O, skopeo): a ping, GET only, one mirror for the whole pull, exact 206 on resumption, multi-range. */
import { ClientError, ClientHttp, type ClientOptions, type Reply } from './http.ts'
import { splitMultipart } from './multipart.ts'
import {
  BlobSink,
  type Descriptor,
  type FetchedManifest,
  type Pull,
  type PulledBlob,
  pullTree,
  verified,
  warningsOf,
} from './pull.ts'
import { failureOf, parseContentRange } from './transfer.ts'

export interface PodmanLocation {
  /** `http://host:port`. */
  url: string
  /** Between `/v2/` and the repository: `docker.io` in `location = "mirror:5000/docker.io"`. */
  path?: string
}

export interface PodmanOptions extends ClientOptions {
  mirrors: readonly PodmanLocation[]
  origin?: PodmanLocation
  architecture?: string
  /** Waits before a 429 is tried again on the same mirror; really 2, 4, 8 and 16 s or Retry-After. */
  backoffMs?: readonly number[]
}

const userAgent = 'containers/5.36.0 (github.com/containers/image)'
const accept = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
  'application/vnd.docker.distribution.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.index.v1+json',
]
/** A later reconnection needs this much progress since the last one. */
const progressBytes = 1024 * 1024

export class Podman {
  readonly #http: ClientHttp
  readonly #options: PodmanOptions

  constructor(options: PodmanOptions) {
    this.#options = options
    this.#http = new ClientHttp(options)
  }

  get requests() {
    return this.#http.requests
  }

  /** The first mirror that gives the first manifest serves all of it; after that there is no way back. */
  async pull(repository: string, reference: string): Promise<Pull> {
    const { mirrors, origin, architecture } = this.#options
    const failures: string[] = []
    for (const location of [...mirrors, ...(origin ? [origin] : [])]) {
      const base = baseOf(location, repository)
      const root = await this.#first(location, base, reference).catch((error: unknown) => {
        failures.push(`${location.url}: ${error instanceof Error ? error.message : String(error)}`)
      })
      if (!root) continue
      const source = {
        manifest: ({ digest }: Descriptor) => this.#manifest(base, digest),
        blob: (descriptor: Descriptor) => this.#blob(base, descriptor),
        parallel: 6,
      }
      const tree = await pullTree(root, source, architecture)
      return { ...tree, host: location.url, requests: this.requests }
    }
    throw new ClientError(`initializing source: (Mirrors also failed: [${failures.join('; ')}])`)
  }

  /**
   * The ranges of a partial pull (zstd:chunked), from the first mirror. Undefined: the server said 400,
   * and podman pulls the whole blob instead.
   */
  async ranges(
    repository: string,
    digest: string,
    ranges: readonly { first: number; last: number }[],
  ): Promise<Buffer[] | undefined> {
    const [location] = this.#options.mirrors
    if (!location) throw new ClientError('no mirror')
    const range = `bytes=${ranges.map(({ first, last }) => `${first}-${last}`).join(',')}`
    const url = `${baseOf(location, repository)}/blobs/${digest}`
    const reply = await this.#http.send('GET', url, { 'user-agent': userAgent, range })
    if (reply.status === 400) {
      reply.body.discard()
      return undefined
    }
    const body = await reply.body.bytes()
    if (reply.status === 200) return ranges.map(({ first, last }) => body.subarray(first, last + 1))
    if (reply.status !== 206)
      throw new ClientError(`invalid status code returned when fetching blob ${reply.status}`)
    const type = reply.headers['content-type'] ?? ''
    if (!type.startsWith('multipart/')) {
      if (ranges.length !== 1) throw new ClientError('invalid number of chunks returned by the server')
      return [body]
    }
    const parts = splitMultipart(type, body)
    if (parts.length !== ranges.length)
      throw new ClientError('invalid number of chunks returned by the server')
    return parts
  }

  async #first(location: PodmanLocation, base: string, reference: string): Promise<FetchedManifest> {
    const ping = await this.#http.send('GET', `${location.url}/v2/`, { 'user-agent': userAgent })
    if (ping.status !== 200 && ping.status !== 401) throw await failureOf('GET', ping)
    ping.body.discard()
    return this.#manifest(base, reference)
  }

  async #manifest(base: string, reference: string): Promise<FetchedManifest> {
    const headers = {
      accept,
      'docker-distribution-api-version': 'registry/2.0',
      'user-agent': userAgent,
    }
    const reply = await this.#patiently(`${base}/manifests/${reference}`, headers)
    if (reply.status !== 200) throw await failureOf('GET', reply)
    const mediaType = reply.headers['content-type'] ?? ''
    const body = await reply.body.bytes()
    const digest = reference.includes(':') ? reference : reply.headers['docker-content-digest']?.toString()
    if (digest === undefined) throw new ClientError('the registry named no digest')
    return verified({ body, mediaType, digest, warnings: warningsOf(reply.headers.warning) })
  }

  async #blob(base: string, descriptor: Descriptor): Promise<PulledBlob> {
    const url = `${base}/blobs/${descriptor.digest}`
    const sink = new BlobSink(descriptor)
    let reply = await this.#patiently(url, { 'user-agent': userAgent })
    if (reply.status !== 200) throw await failureOf('GET', reply)
    let reconnectedAt: number | undefined
    for (;;) {
      const cut = await sink.take(reply.body)
      if (!cut) return sink.finish()
      if (reconnectedAt !== undefined && sink.size - reconnectedAt < progressBytes) throw cut
      reconnectedAt = sink.size
      reply = await this.#reconnect(url, sink.size, descriptor)
    }
  }

  async #reconnect(url: string, offset: number, { size }: Descriptor): Promise<Reply> {
    const reply = await this.#http.send('GET', url, { 'user-agent': userAgent, range: `bytes=${offset}-` })
    if (reply.status !== 206) {
      throw new ClientError(`after reconnecting: invalid status ${reply.status}`, { status: reply.status })
    }
    const { first, last } = parseContentRange(reply.headers['content-range'])
    if (first === offset && last === size - 1) return reply
    throw new ClientError(`after reconnecting at offset ${offset}: unexpected Content-Range ${first}-${last}`)
  }

  /** 429 is tried again where it is, however long that takes. */
  async #patiently(url: string, headers: object): Promise<Reply> {
    for (const waitMs of this.#options.backoffMs ?? [0, 0, 0, 0]) {
      const reply = await this.#http.send('GET', url, { ...headers })
      if (reply.status !== 429) return reply
      reply.body.discard()
      await new Promise(resolve => setTimeout(resolve, waitMs))
    }
    return this.#http.send('GET', url, { ...headers })
  }
}

function baseOf({ url, path }: PodmanLocation, repository: string): string {
  return [`${url}/v2`, ...(path === undefined ? [] : [path]), repository].join('/')
}
