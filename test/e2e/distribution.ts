/** distribution v3 as a pull-through cache on loopback. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Daemon } from './daemon.ts'
import { environment } from './environment.ts'
import type { Registry } from './origin.ts'

export class Distribution implements AsyncDisposable {
  readonly address: string
  readonly #daemon: Daemon

  private constructor(daemon: Daemon, address: string) {
    this.#daemon = daemon
    this.address = address
  }

  static async start(root: string, { name, upstream }: { name: string; upstream: Registry }) {
    const home = join(root, name)
    await mkdir(home)
    const config = join(home, 'config.yml')
    await writeFile(
      config,
      `version: 0.1
log: {level: info, formatter: json, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: ${JSON.stringify(join(home, 'content'))}}}
http: {addr: 127.0.0.1:0}
proxy: {remoteurl: "http://${upstream.address}"}
`,
    )
    const env = { ...environment(home), OTEL_TRACES_EXPORTER: 'none' }
    const daemon = new Daemon('registry', ['serve', config], { cwd: home, env })
    const [, address = ''] = await daemon.line(/listening on (127\.0\.0\.1:\d+)/)
    return new Distribution(daemon, address)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon.stop()
  }
}
