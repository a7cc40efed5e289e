/** regclient (regctl): `ns` with the DNS name, ranges that end one past the last byte, hosts dropped on 401, 404 and 416. */
import { ClientError, ClientHttp, type ClientOptions, type Reply } from './http.ts'
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

export interface RegclientOptions extends ClientOptions {
  /** `http://host:port`. */
  mirrors: readonly string[]
  /** The registry itself, tried last and without `ns`. */
  origin?: string
  /** The registry's DNS name, not its name in the image. */
  ns?: string
  pathPrefix?: string
  architecture?: string
}

const userAgent = 'regclient/regctl (v0.9.0)'
const accept = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
  'application/vnd.docker.distribution.manifest.v1+json',
  'application/vnd.oci.artifact.manifest.v1+json',
]
const backedOff = new Set([408, 429, 500, 502, 504])
const tries = 3

export class Regclient {
  readonly #http: ClientHttp
  readonly #options: RegclientOptions
  #lastHost = ''

  constructor(options: RegclientOptions) {
    this.#options = options
    this.#http = new ClientHttp(options)
  }

  get requests() {
    return this.#http.requests
  }

  async pull(repository: string, reference: string): Promise<Pull> {
    const digest = await this.head(repository, reference)
    const root = await this.#manifest(repository, digest)
    const source = {
      manifest: (descriptor: Descriptor) => this.#manifest(repository, descriptor.digest),
      blob: (descriptor: Descriptor) => this.#blob(repository, descriptor),
      parallel: 3,
    }
    const tree = await pullTree(root, source, this.#options.architecture)
    return { ...tree, host: this.#lastHost, requests: this.requests }
  }

  async head(repository: string, reference: string): Promise<string> {
    const reply = await this.#ask('HEAD', `${repository}/manifests/${reference}`, { accept })
    const digest = reply.headers['docker-content-digest']?.toString()
    reply.body.discard()
    return digest ?? (await this.#manifest(repository, reference)).digest
  }

  async #manifest(repository: string, reference: string): Promise<FetchedManifest> {
    const reply = await this.#ask('GET', `${repository}/manifests/${reference}`, { accept })
    const body = await reply.body.bytes()
    const digest = reference.includes(':') ? reference : reply.headers['docker-content-digest']?.toString()
    if (digest === undefined) throw new ClientError('missing digest header')
    const mediaType = reply.headers['content-type'] ?? ''
    return verified({ body, digest, mediaType, warnings: warningsOf(reply.headers.warning) })
  }

  async #blob(repository: string, descriptor: Descriptor): Promise<PulledBlob> {
    const sink = new BlobSink(descriptor)
    for (let attempt = 1; ; attempt += 1) {
      const start = sink.size
      // The end is the length, one past the last byte: a server clips it.
      const range = start > 0 ? { range: `bytes=${start}-${descriptor.size}` } : {}
      const reply = await this.#ask('GET', `${repository}/blobs/${descriptor.digest}`, range)
      checkLength(reply, start, descriptor.size)
      const cut = await sink.take(reply.body)
      if (!cut) return sink.finish()
      if (attempt >= tries) throw cut
    }
  }

  async #ask(method: string, path: string, headers: object): Promise<Reply> {
    const { mirrors, origin, ns = 'registry-1.docker.io', pathPrefix } = this.#options
    const prefix = pathPrefix === undefined ? '' : `${pathPrefix}/`
    const places = [
      ...mirrors.map(host => ({ host, url: `${host}/v2/${prefix}${path}?ns=${ns}` })),
      ...(origin === undefined ? [] : [{ host: origin, url: `${origin}/v2/${path}` }]),
    ]
    let failure: unknown
    for (const { host, url } of places) {
      try {
        const reply = await this.#withTries(method, url, { ...headers, 'user-agent': userAgent })
        if (reply.status > 299) throw await failureOf(method, reply)
        this.#lastHost = host
        return reply
      } catch (error) {
        failure ??= error
      }
    }
    throw failure
  }

  /** Waits Retry-After between tries really; not here. */
  async #withTries(method: string, url: string, headers: object): Promise<Reply> {
    for (let attempt = 1; ; attempt += 1) {
      const reply = await this.#http.send(method, url, { ...headers })
      if (!backedOff.has(reply.status) || attempt >= tries) return reply
      reply.body.discard()
    }
  }
}

function checkLength({ status, headers }: Reply, start: number, size: number): void {
  if (start === 0) {
    const length = headers['content-length']
    if (length !== undefined && Number(length) !== size) {
      throw new ClientError(`unexpected blob length, expected ${size}, received ${length}`)
    }
    return
  }
  if (status !== 206) throw new ClientError(`server does not support range requests: ${status}`)
  const { first, last } = parseContentRange(headers['content-range'])
  if (first !== start || last !== size - 1) {
    throw new ClientError(`range does not match: asked from ${start}, got ${first}-${last}`)
  }
}
