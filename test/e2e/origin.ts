/** The registry that everything comes from: Debian's docker-registry on loopback, filled over its own API. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Daemon } from './daemon.ts'
import type { Content, Image } from './image.ts'
import { environment } from './tools.ts'

export interface Registry {
  /** `host:port`, without TLS. */
  readonly address: string
  /** In front of every repository name: empty, or a registry's name and a slash. */
  readonly namespace: string
}

export interface SeenRequest {
  readonly method: string
  readonly uri: string
  readonly status: number
}

export class Origin implements Registry, AsyncDisposable {
  readonly namespace = ''
  readonly address: string
  readonly #daemon: Daemon

  private constructor(daemon: Daemon, address: string) {
    this.#daemon = daemon
    this.address = address
  }

  /** Serves the registry under `root/content`; several servers may serve one. */
  static async start(root: string, name: string): Promise<Origin> {
    const home = join(root, name)
    await mkdir(home)
    const config = join(home, 'config.yml')
    await writeFile(config, configuration(join(root, 'content')))
    const daemon = new Daemon('docker-registry', ['serve', config], { cwd: home, env: environment(home) })
    const [, address = ''] = await daemon.line(/listening on (127\.0\.0\.1:\d+)/)
    return new Origin(daemon, address)
  }

  async push(repository: string, tag: string, image: Image): Promise<void> {
    for (const blob of image.blobs) await this.#pushBlob(repository, blob)
    for (const manifest of image.manifests) await this.#pushManifest(repository, manifest.digest, manifest)
    await this.#pushManifest(repository, tag, image.index)
  }

  async #pushBlob(repository: string, { digest, bytes }: Content): Promise<void> {
    const session = await this.#send('POST', `http://${this.address}/v2/${repository}/blobs/uploads/`, 202)
    const location = new URL(session.headers.get('location') ?? '', session.url)
    location.searchParams.set('digest', digest)
    await this.#send('PUT', location.href, 201, { mediaType: 'application/octet-stream', bytes })
  }

  async #pushManifest(repository: string, reference: string, manifest: Content): Promise<void> {
    await this.#send('PUT', `http://${this.address}/v2/${repository}/manifests/${reference}`, 201, manifest)
  }

  async #send(method: string, url: string, expected: number, body?: Pick<Content, 'mediaType' | 'bytes'>) {
    const payload = body && { body: Uint8Array.from(body.bytes), headers: { 'content-type': body.mediaType } }
    const response = await fetch(url, { method, ...payload })
    const text = await response.text()
    if (response.status !== expected) throw new Error(`${method} ${url}: ${response.status} ${text}`)
    return response
  }

  /** What it was asked; complete only once it is stopped. */
  requests(): SeenRequest[] {
    return this.#daemon.lines
      .filter(line => line.includes('"response completed"'))
      .map(line => JSON.parse(line) as Record<string, unknown>)
      .map(entry => ({
        method: String(entry['http.request.method']),
        uri: String(entry['http.request.uri']),
        status: Number(entry['http.response.status']),
      }))
  }

  async stop(): Promise<void> {
    await this.#daemon.stop()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}

function configuration(content: string): string {
  return `version: 0.1
log: {level: info, formatter: json, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: ${JSON.stringify(content)}}}
http: {addr: 127.0.0.1:0}
`
}
