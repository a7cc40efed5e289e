/** containerd's resolver and fetcher: HEAD then GET by digest, `ns`, the next host on any failure, resumption after FIN. */
import { createHash } from 'node:crypto'
import { fetchChunks } from './containerd-chunks.ts'
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
import { failureOf } from './transfer.ts'

export interface ContainerdHost {
  /** `http://host:port`, without a path. */
  url: string
  /** In front of the repository; default `/v2`. */
  path?: string
  /** The image's own registry: no `ns`. */
  origin?: boolean
}

export interface ContainerdOptions extends ClientOptions {
  /** Tried in order; a plain URL is a mirror. */
  hosts: readonly (string | ContainerdHost)[]
  /** The registry in the image's name, sent as `ns`. */
  registry?: string
  userAgent?: string
  /** Layers in chunks of so many bytes, `connections` at a time (2.1 and later). */
  parallel?: { chunkBytes: number; connections: number }
  /** `Range: bytes=0-` on every GET, manifests included (2.1.0 to 2.1.2). */
  rangeEverywhere?: boolean
  architecture?: string
}

const resolveAccept =
  'application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*'
const maxManifestBytes = 4 * 1048 * 1048
const spins = 5
const triesWithoutProgress = 3

export class Containerd {
  readonly #http: ClientHttp
  readonly #options: ContainerdOptions
  readonly #hosts: readonly ContainerdHost[]
  #lastHost = ''

  constructor(options: ContainerdOptions) {
    this.#options = options
    this.#hosts = options.hosts.map(host => (typeof host === 'string' ? { url: host } : host))
    this.#http = new ClientHttp(options)
  }

  get requests() {
    return this.#http.requests
  }

  async pull(repository: string, reference: string): Promise<Pull> {
    const resolved = await this.resolve(repository, reference)
    const root = await this.manifest(repository, resolved)
    const tree = await pullTree(
      root,
      {
        manifest: descriptor => this.manifest(repository, descriptor),
        blob: descriptor => this.blob(repository, descriptor),
        parallel: 3,
      },
      this.#options.architecture,
    )
    return { ...tree, host: this.#lastHost, requests: this.requests }
  }

  /** The descriptor that a tag or digest names. */
  async resolve(repository: string, reference: string): Promise<Descriptor> {
    const path = `${repository}/manifests/${reference}`
    const failures: unknown[] = []
    for (const host of this.#hosts) {
      try {
        return await this.#resolveAt(host, path, reference)
      } catch (error) {
        failures.push(error)
      }
    }
    const absent = failures.every(error => error instanceof ClientError && error.status === 404)
    if (absent && reference.includes(':')) return this.#resolveBlob(repository, reference, failures[0])
    throw failures[0]
  }

  async manifest(repository: string, descriptor: Descriptor): Promise<FetchedManifest> {
    const { digest, mediaType, size } = descriptor
    if (size > maxManifestBytes) throw new ClientError(`rejecting ${size} byte manifest`)
    const { sink, reply } = await this.#read(`${repository}/manifests/${digest}`, descriptor)
    const { bytes } = sink.finish()
    const manifest = { body: bytes ?? Buffer.alloc(0), mediaType, digest }
    return verified({ ...manifest, warnings: warningsOf(reply.headers.warning) })
  }

  async blob(repository: string, descriptor: Descriptor): Promise<PulledBlob> {
    const path = `${repository}/blobs/${descriptor.digest}`
    const { parallel } = this.#options
    if (parallel && descriptor.size > parallel.chunkBytes) {
      return fetchChunks(descriptor, parallel, offset =>
        this.#open(path, descriptor, { offset, always: true }),
      )
    }
    return (await this.#read(path, descriptor)).sink.finish()
  }

  /** `GET …/referrers/<digest>`, on the first host that answers 200. */
  async referrers(repository: string, digest: string, artifactType?: string): Promise<Descriptor[]> {
    const query = artifactType === undefined ? '' : `?artifactType=${encodeURIComponent(artifactType)}`
    for (const host of this.#hosts) {
      const reply = await this.#ask('GET', host, `${repository}/referrers/${digest}${query}`, {})
      const body = await reply.body.bytes()
      if (reply.status === 200) return (JSON.parse(body.toString()) as { manifests: Descriptor[] }).manifests
    }
    return []
  }

  async #resolveAt(host: ContainerdHost, path: string, reference: string): Promise<Descriptor> {
    const headers = { accept: resolveAccept }
    let reply = await this.#ask('HEAD', host, path, headers)
    if (reply.status === 405) reply = await this.#ask('GET', host, path, headers)
    // A HEAD has no text to show for a denial.
    if (reply.status === 403) throw await failureOf('GET', await this.#ask('GET', host, path, headers))
    if (reply.status > 299) throw await failureOf('HEAD', reply)
    const mediaType = reply.headers['content-type'] ?? ''
    if (mediaType.startsWith('text/plain')) throw new ClientError('schema 1 manifests are not supported')
    const named = reply.headers['docker-content-digest']?.toString()
    const length = reply.headers['content-length']
    reply.body.discard()
    this.#lastHost = host.url
    const digest = reference.includes(':') ? reference : named
    if (digest !== undefined && length !== undefined) return { mediaType, digest, size: Number(length) }
    return this.#resolveByGet(host, path)
  }

  async #resolveByGet(host: ContainerdHost, path: string): Promise<Descriptor> {
    const reply = await this.#ask('GET', host, path, { accept: resolveAccept })
    if (reply.status > 299) throw await failureOf('GET', reply)
    const body = await reply.body.bytes()
    const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`
    return { mediaType: reply.headers['content-type'] ?? '', digest, size: body.length }
  }

  async #resolveBlob(repository: string, digest: string, failure: unknown): Promise<Descriptor> {
    for (const host of this.#hosts) {
      const reply = await this.#ask('HEAD', host, `${repository}/blobs/${digest}`, { accept: resolveAccept })
      reply.body.discard()
      if (reply.status > 299) continue
      const size = Number(reply.headers['content-length'] ?? 0)
      return { mediaType: reply.headers['content-type'] ?? '', digest, size }
    }
    throw failure
  }

  /** Reads to the end; where the connection ends early it goes on from there, at the first host again. */
  async #read(path: string, descriptor: Descriptor): Promise<{ sink: BlobSink; reply: Reply }> {
    const sink = new BlobSink(descriptor)
    let idle = 0
    for (;;) {
      const start = sink.size
      const reply = await this.#open(path, descriptor, { offset: start })
      const cut = await sink.take(reply.body)
      if (!cut) return { sink, reply }
      idle = sink.size > start ? 0 : idle + 1
      // Only an unexpected EOF is resumed; a reset is not.
      if (cut.how === 'rst' || idle >= triesWithoutProgress) throw cut
    }
  }

  async #open(
    path: string,
    { mediaType }: Descriptor,
    { offset, always = this.#options.rangeEverywhere ?? false }: { offset: number; always?: boolean },
  ): Promise<Reply> {
    const headers = {
      accept: `${mediaType}, */*`,
      'accept-encoding': 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5',
      ...(offset > 0 || always ? { range: `bytes=${offset}-` } : {}),
    }
    let failure: unknown
    for (const host of this.#hosts) {
      try {
        const reply = await this.#ask('GET', host, path, headers)
        if (reply.status > 299) throw await failureOf('GET', reply)
        checkRange(reply, offset)
        this.#lastHost = host.url
        // A host that ignored the range sends bytes that are here already.
        if (reply.headers['content-range'] === undefined) reply.body.skip(offset)
        return reply
      } catch (error) {
        failure ??= error
      }
    }
    throw failure
  }

  /** 408 and 429 are repeated at once, whatever Retry-After says. */
  async #ask(method: string, host: ContainerdHost, path: string, headers: object): Promise<Reply> {
    const { registry = 'docker.io', userAgent = 'containerd/2.3.1' } = this.#options
    const url = new URL(`${host.url}${host.path ?? '/v2'}/${path}`)
    if (!host.origin) url.searchParams.set('ns', registry)
    for (let spin = 1; ; spin += 1) {
      const reply = await this.#http.send(method, url.href, { ...headers, 'user-agent': userAgent })
      if ((reply.status !== 408 && reply.status !== 429) || spin >= spins) return reply
      reply.body.discard()
    }
  }
}

function checkRange({ status, headers }: Reply, offset: number): void {
  const encoding = headers['content-encoding']
  if (encoding !== undefined) throw new ClientError(`Content-Encoding ${encoding} on content with a digest`)
  const range = headers['content-range']
  if (status === 206 && !range?.startsWith(`bytes ${offset}-`)) {
    throw new ClientError(`unhandled content range in response: ${range}`)
  }
}
