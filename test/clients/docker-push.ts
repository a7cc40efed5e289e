/** Docker's graph-driver store when it pushes: HEAD, POST, one PATCH without lengths, an empty PUT, HEAD, and last the manifest. */
import { createHash } from 'node:crypto'
import type { DockerLogin } from './docker-login.ts'
import { ClientError } from './http.ts'

export interface PushedBlob {
  digest: string
  bytes: Buffer
  /** A repository of the same registry that has it, as Docker remembers. */
  from?: string
}

export const userAgent = 'docker/27.5.1 go/go1.22.11 git-commit/4c9b3b0 kernel/6.1.0 os/linux arch/amd64'

export class DockerPush {
  readonly #base: string
  readonly #url: string
  readonly #repository: string
  readonly #login: DockerLogin | undefined

  constructor(url: string, repository: string, login?: DockerLogin) {
    this.#url = url
    this.#repository = repository
    this.#login = login
    this.#base = `${url}/v2/${repository}`
  }

  /** Returns the digest that the registry gave the manifest. */
  async push(blobs: readonly PushedBlob[], manifest: { mediaType: string; body: Buffer }, tag: string) {
    if (this.#login) await this.#login.ping()
    else await this.#ping()
    for (const blob of blobs) await this.#blob(blob)
    const headers = { 'content-type': manifest.mediaType }
    const body = Uint8Array.from(manifest.body)
    const answer = await this.#send('PUT', `${this.#base}/manifests/${tag}`, { headers, body })
    const digest = answer.headers.get('docker-content-digest')
    if (!answer.ok || digest === null) throw failed('manifest', answer)
    return digest
  }

  async #ping(): Promise<void> {
    const ping = await this.#send('GET', `${this.#url}/v2/`)
    if (ping.status !== 200) throw new ClientError(`ping: ${ping.status}`, { status: ping.status })
  }

  async #blob(blob: PushedBlob): Promise<void> {
    const stat = await this.#send('HEAD', `${this.#base}/blobs/${blob.digest}`)
    if (stat.status === 200) return
    if (stat.status !== 404) throw failed('HEAD', stat)
    const mount = blob.from === undefined ? '' : `?from=${encodeURIComponent(blob.from)}&mount=${blob.digest}`
    const start = await this.#send('POST', `${this.#base}/blobs/uploads/${mount}`)
    if (start.status === 202) await this.#upload(start, blob)
    else if (start.status !== 201) throw failed('POST', start)
    const held = await this.#send('HEAD', `${this.#base}/blobs/${blob.digest}`)
    if (held.status !== 200 || held.headers.get('content-length') !== String(blob.bytes.length))
      throw failed('HEAD after the push', held)
  }

  async #upload(start: Response, { digest, bytes }: PushedBlob): Promise<void> {
    const patch = await this.#send('PATCH', locationOf(start), { body: streamed(bytes), duplex: 'half' })
    const end = /^0-(\d+)$/.exec(patch.headers.get('range') ?? '')?.[1]
    if (patch.status !== 202 || Number(end) !== bytes.length - 1) throw failed('PATCH', patch)
    const closing = new URL(locationOf(patch))
    closing.searchParams.set('digest', `sha256:${createHash('sha256').update(bytes).digest('hex')}`)
    const put = await this.#send('PUT', closing.href)
    if (put.status !== 201) throw failed('PUT', put)
    if (put.headers.get('docker-content-digest') !== digest) throw failed('PUT', put)
  }

  async #send(method: string, url: string, init: RequestInit & { duplex?: 'half' } = {}): Promise<Response> {
    const from = new URL(url).searchParams.get('from')
    const mounted = from === null ? [] : [`repository:${from}:pull`]
    const login = await this.#login?.headers([`repository:${this.#repository}:pull,push`, ...mounted])
    const given = init.headers as Record<string, string> | undefined
    const headers = { 'user-agent': userAgent, ...login, ...given }
    const answer = await fetch(url, { ...init, method, headers })
    await answer.arrayBuffer()
    return answer
  }
}

/** Of unknown length to HTTP, so that it goes out in chunks. */
function streamed(bytes: Buffer): ReadableStream {
  return new Blob([Uint8Array.from(bytes)]).stream()
}

function locationOf(answer: Response): string {
  const location = answer.headers.get('location')
  if (location === null || answer.headers.get('docker-upload-uuid') === null) throw failed('Location', answer)
  return new URL(location, answer.url).href
}

function failed(what: string, { status, url }: Response): ClientError {
  return new ClientError(`${what}: unexpected ${status} from ${url}`, { status })
}
