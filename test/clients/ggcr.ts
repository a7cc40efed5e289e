/** go-containerregistry (crane, kaniko, Flux, cosign): a ping, strict HEAD headers, referrers by exact content type. */
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

export interface GgcrOptions extends ClientOptions {
  /** `http://host:port`. */
  url: string
  architecture?: string
}

const userAgent = 'crane/0.20.6 go-containerregistry/0.20.6'
const indexType = 'application/vnd.oci.image.index.v1+json'
const accept = [
  'application/vnd.docker.distribution.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  indexType,
  'application/vnd.docker.distribution.manifest.list.v2+json',
].join(',')
const retried = new Set([408, 429, 499, 500, 502, 503, 504, 522])
/** Really 1 s and 3 s apart. */
const tries = 3

export class Ggcr {
  readonly #http: ClientHttp
  readonly #options: GgcrOptions
  #pinged = false

  constructor(options: GgcrOptions) {
    this.#options = options
    this.#http = new ClientHttp(options)
  }

  get requests() {
    return this.#http.requests
  }

  async pull(repository: string, reference: string): Promise<Pull> {
    const root = await this.#manifest(repository, reference)
    const source = {
      manifest: ({ digest }: Descriptor) => this.#manifest(repository, digest),
      blob: (descriptor: Descriptor) => this.#blob(repository, descriptor),
      parallel: 4,
    }
    const tree = await pullTree(root, source, this.#options.architecture)
    return { ...tree, host: this.#options.url, requests: this.requests }
  }

  async head(repository: string, reference: string): Promise<Descriptor> {
    const reply = await this.#ask('HEAD', `${repository}/manifests/${reference}`)
    reply.body.discard()
    const mediaType = reply.headers['content-type']
    const length = reply.headers['content-length']
    const digest = reply.headers['docker-content-digest']?.toString()
    const what = `HEAD ${reply.url.href}`
    if (mediaType === undefined)
      throw new ClientError(`${what}: response did not include Content-Type header`)
    if (length === undefined) throw new ClientError(`${what}: response did not include Content-Length header`)
    if (digest === undefined) {
      throw new ClientError(`${what}: response did not include Docker-Content-Digest header`)
    }
    if (reference.includes(':') && digest !== reference) {
      throw new ClientError(`manifest digest: ${digest} does not match requested digest: ${reference}`)
    }
    return { mediaType, digest, size: Number(length) }
  }

  /** The first page of the API, or the fallback tag where the API is not there. */
  async referrers(repository: string, digest: string): Promise<Descriptor[]> {
    const reply = await this.#ask('GET', `${repository}/referrers/${digest}`, [404, 400, 406])
    const body = await reply.body.bytes()
    if (reply.status === 200 && reply.headers['content-type'] === indexType) return manifestsOf(body)
    const tag = digest.replace(':', '-')
    const fallback = await this.#ask('GET', `${repository}/manifests/${tag}`, [404])
    const listed = await fallback.body.bytes()
    return fallback.status === 404 ? [] : manifestsOf(listed)
  }

  async tags(repository: string): Promise<string[]> {
    const tags: string[] = []
    let next: string | undefined = `${this.#options.url}/v2/${repository}/tags/list?n=1000`
    while (next !== undefined) {
      const reply = await this.#get('GET', next, [])
      tags.push(...(JSON.parse((await reply.body.bytes()).toString()) as { tags: string[] }).tags)
      const link = /^<([^>]+)>\s*;\s*rel="next"/.exec(reply.headers.link?.toString() ?? '')?.[1]
      next = link === undefined ? undefined : new URL(link, reply.url).href
    }
    return tags
  }

  async #manifest(repository: string, reference: string): Promise<FetchedManifest> {
    const reply = await this.#ask('GET', `${repository}/manifests/${reference}`)
    const body = await reply.body.bytes()
    const mediaType = reply.headers['content-type'] ?? ''
    const named = reply.headers['docker-content-digest']?.toString()
    const digest = reference.includes(':') ? reference : named
    if (digest === undefined) throw new ClientError('the registry named no digest')
    return verified({ body, mediaType, digest, warnings: warningsOf(reply.headers.warning) })
  }

  async #blob(repository: string, descriptor: Descriptor): Promise<PulledBlob> {
    const reply = await this.#ask('GET', `${repository}/blobs/${descriptor.digest}`)
    const sink = new BlobSink(descriptor)
    const cut = await sink.take(reply.body)
    if (cut) throw cut
    return sink.finish()
  }

  #ask(method: string, path: string, allowed: readonly number[] = []): Promise<Reply> {
    return this.#get(method, `${this.#options.url}/v2/${path}`, allowed)
  }

  async #get(method: string, url: string, allowed: readonly number[]): Promise<Reply> {
    await this.#ping()
    for (let attempt = 1; ; attempt += 1) {
      const reply = await this.#http.send(method, url, { accept, 'user-agent': userAgent })
      if (reply.status === 200 || allowed.includes(reply.status)) return reply
      if (!retried.has(reply.status) || attempt >= tries) throw await failureOf(method, reply)
      reply.body.discard()
    }
  }

  async #ping(): Promise<void> {
    if (this.#pinged) return
    const reply = await this.#http.send('GET', `${this.#options.url}/v2/`, { 'user-agent': userAgent })
    if (reply.status !== 200 && reply.status !== 401) throw await failureOf('GET', reply)
    reply.body.discard()
    this.#pinged = true
  }
}

function manifestsOf(body: Buffer): Descriptor[] {
  return (JSON.parse(body.toString()) as { manifests: Descriptor[] }).manifests
}
