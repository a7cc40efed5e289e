/** The registry that everything comes from: Debian's docker-registry on loopback. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Daemon } from './daemon.ts'
import { environment } from './environment.ts'

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
