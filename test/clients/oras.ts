/** oras-go (oras, Helm): path form without `library/`, HEAD then GET by digest, headers held to their word, tags through Link. */
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

export interface OrasOptions extends ClientOptions {
  /** `http://host:port`. */
  url: string
  userAgent?: string
  architecture?: string
}

const accept = [
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.artifact.manifest.v1+json',
].join(', ')
const retried = new Set([408, 429, 500, 502, 503, 504])
/** Really up to 3 s apart. */
const tries = 5

export class Oras {
  readonly #http: ClientHttp
  readonly #options: OrasOptions

  constructor(options: OrasOptions) {
    this.#options = options
    this.#http = new ClientHttp(options)
  }

  get requests() {
    return this.#http.requests
  }

  async pull(repository: string, reference: string): Promise<Pull> {
    const resolved = await this.resolve(repository, reference)
    const root = await this.#manifest(repository, resolved)
    const source = {
      manifest: (descriptor: Descriptor) => this.#manifest(repository, descriptor),
      blob: (descriptor: Descriptor) => this.#blob(repository, descriptor),
      parallel: 3,
    }
    const tree = await pullTree(root, source, this.#options.architecture)
    return { ...tree, host: this.#options.url, requests: this.requests }
  }

  async resolve(repository: string, reference: string): Promise<Descriptor> {
    const reply = await this.#ask('HEAD', this.#url(`${repository}/manifests/${reference}`), { accept })
    reply.body.discard()
    const mediaType = reply.headers['content-type']
    const length = reply.headers['content-length']
    const digest = reply.headers['docker-content-digest']?.toString()
    if (mediaType === undefined) throw new ClientError('missing Content-Type header')
    if (length === undefined) throw new ClientError('unknown response Content-Length')
    if (digest === undefined) throw new ClientError('HEAD response has no Docker-Content-Digest')
    if (reference.includes(':') && digest !== reference) {
      throw new ClientError(`mismatch digest: ${digest}, asked for ${reference}`)
    }
    return { mediaType, digest, size: Number(length) }
  }

  /** Every tag, page by page, as `helm pull --version '^1'` needs them. */
  async tags(repository: string, pageSize?: number): Promise<string[]> {
    const tags: string[] = []
    const query = pageSize === undefined ? '' : `?n=${pageSize}`
    let next: string | undefined = this.#url(`${repository}/tags/list${query}`)
    while (next !== undefined) {
      const reply: Reply = await this.#ask('GET', next)
      tags.push(...(JSON.parse((await reply.body.bytes()).toString()) as { tags: string[] }).tags)
      next = nextPage(reply)
    }
    return tags
  }

  /** Every page; a 404 or another content type means that there is no API, which is undefined. */
  async referrers(repository: string, digest: string): Promise<Descriptor[] | undefined> {
    const found: Descriptor[] = []
    let next: string | undefined = this.#url(`${repository}/referrers/${digest}`)
    while (next !== undefined) {
      const reply: Reply = await this.#ask('GET', next, {}, [404])
      const body = await reply.body.bytes()
      const type = reply.headers['content-type']
      if (reply.status === 404 || type !== 'application/vnd.oci.image.index.v1+json') return undefined
      found.push(...(JSON.parse(body.toString()) as { manifests: Descriptor[] }).manifests)
      next = nextPage(reply)
    }
    return found
  }

  async #manifest(repository: string, { digest, mediaType, size }: Descriptor): Promise<FetchedManifest> {
    const reply = await this.#ask('GET', this.#url(`${repository}/manifests/${digest}`), {
      accept: mediaType,
    })
    const type = reply.headers['content-type']
    if (type !== mediaType) {
      throw new ClientError(`mismatch response Content-Type ${type}: expect ${mediaType}`)
    }
    const named = reply.headers['docker-content-digest']?.toString()
    if (named !== undefined && named !== digest) throw new ClientError(`mismatch response digest ${named}`)
    const body = await reply.body.bytes()
    if (body.length !== size) throw new ClientError(`mismatch size ${body.length}: expect ${size}`)
    return verified({ body, mediaType, digest, warnings: warningsOf(reply.headers.warning) })
  }

  async #blob(repository: string, descriptor: Descriptor): Promise<PulledBlob> {
    const reply = await this.#ask('GET', this.#url(`${repository}/blobs/${descriptor.digest}`))
    const length = reply.headers['content-length']
    if (length !== undefined && Number(length) !== descriptor.size) {
      throw new ClientError(`mismatch Content-Length ${length}: expect ${descriptor.size}`)
    }
    const sink = new BlobSink(descriptor)
    const cut = await sink.take(reply.body)
    if (cut) throw cut
    return sink.finish()
  }

  #url(path: string): string {
    return `${this.#options.url}/v2/${path}`
  }

  async #ask(
    method: string,
    url: string,
    headers: object = {},
    allowed: readonly number[] = [],
  ): Promise<Reply> {
    const { userAgent = 'Helm/3.19.0' } = this.#options
    for (let attempt = 1; ; attempt += 1) {
      const reply = await this.#http.send(method, url, { ...headers, 'user-agent': userAgent })
      if (reply.status === 200 || allowed.includes(reply.status)) return reply
      if (!retried.has(reply.status) || attempt >= tries) throw await failureOf(method, reply)
      reply.body.discard()
    }
  }
}

function nextPage({ headers, url }: Reply): string | undefined {
  const link = /^<([^>]+)>\s*;\s*rel="next"/.exec(headers.link?.toString() ?? '')?.[1]
  return link === undefined ? undefined : new URL(link, url).href
}
