/** Docker's graph-driver store: a ping, no `ns`, GET by tag, and the next registry on any error. */
import { ClientError, ClientHttp, type ClientOptions } from './http.ts'
import { type FetchedManifest, type Pull, pullTree, verified, warningsOf } from './pull.ts'
import { failureOf, readWithResume } from './transfer.ts'

export interface DockerLegacyOptions extends ClientOptions {
  /** As in `registry-mirrors`; a path is kept in front of `/v2/`. */
  mirrors: readonly string[]
  /** Docker Hub itself, tried last. */
  origin?: string
  architecture?: string
}

const headers = {
  accept: [
    'application/vnd.docker.distribution.manifest.v2+json',
    'application/vnd.docker.distribution.manifest.list.v2+json',
    'application/vnd.oci.image.index.v1+json',
    'application/vnd.oci.image.manifest.v1+json',
    'application/vnd.docker.distribution.manifest.v1+prettyjws',
    'application/json',
  ],
  'user-agent': 'docker/27.5.1 go/go1.22.11 git-commit/4c9b3b0 kernel/6.1.0 os/linux arch/amd64',
}

export class DockerLegacy {
  readonly #http: ClientHttp
  readonly #options: DockerLegacyOptions

  constructor(options: DockerLegacyOptions) {
    this.#options = options
    this.#http = new ClientHttp(options)
  }

  get requests() {
    return this.#http.requests
  }

  async pull(repository: string, reference: string): Promise<Pull> {
    const { mirrors, origin } = this.#options
    let failure: unknown
    for (const host of [...mirrors, ...(origin === undefined ? [] : [origin])]) {
      try {
        return await this.#pullFrom(host.replace(/\/$/, ''), repository, reference)
      } catch (error) {
        failure = error
      }
    }
    throw failure
  }

  async #pullFrom(host: string, repository: string, reference: string): Promise<Pull> {
    const ping = await this.#http.send('GET', `${host}/v2/`, { 'user-agent': headers['user-agent'] })
    if (ping.status !== 200 && ping.status !== 401) throw await failureOf('GET', ping)
    if (ping.headers['docker-distribution-api-version'] !== 'registry/2.0') {
      throw new ClientError(`${host} does not appear to be a v2 registry endpoint`)
    }
    ping.body.discard()
    const base = `${host}/v2/${repository}`
    const root = await this.#manifest(base, reference)
    const source = {
      manifest: ({ digest }: { digest: string }) => this.#manifest(base, digest),
      blob: readWithResume(this.#http, base, headers['user-agent']),
      parallel: 3,
    }
    const tree = await pullTree(root, source, this.#options.architecture)
    return { ...tree, host, requests: this.requests }
  }

  async #manifest(base: string, reference: string): Promise<FetchedManifest> {
    const reply = await this.#http.send('GET', `${base}/manifests/${reference}`, headers)
    if (reply.status !== 200) throw await failureOf('GET', reply)
    const body = await reply.body.bytes()
    const digest = reference.includes(':') ? reference : reply.headers['docker-content-digest']?.toString()
    if (digest === undefined) throw new ClientError('the registry named no digest')
    const mediaType = reply.headers['content-type'] ?? ''
    return verified({ body, digest, mediaType, warnings: warningsOf(reply.headers.warning) })
  }
}
