/** Layover as a soak runs it: a small cache, short times, everything that works behind the answers switched on. */
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { freePort, launch, Server } from '../server.ts'

export interface SoakedOptions {
  readonly home: string
  /** `dist/main.js` instead of `src/main.ts`. */
  readonly built: boolean
  readonly workers: number
  readonly registry: string
  readonly originPort: number
  readonly capBytes: number
  readonly nodeArgs: readonly string[]
}

export class Soaked extends Server {
  readonly pid: number
  readonly store: string

  private constructor(launched: Awaited<ReturnType<typeof launch>>, store: string) {
    super(launched)
    this.pid = launched.child.pid ?? 0
    this.store = store
  }

  static async start(options: SoakedOptions): Promise<Soaked> {
    const { home, built, workers, nodeArgs } = options
    const [file, store] = [join(home, 'upstreams.yaml'), join(home, 'data')]
    const address = `127.0.0.1:${await freePort()}`
    await mkdir(home, { recursive: true })
    await writeFile(file, JSON.stringify(configuration(address, store, options), undefined, 2)) // YAML takes JSON
    const main = fileURLToPath(new URL(built ? '../../dist/main.js' : '../../src/main.ts', import.meta.url))
    const launched = await launch({
      command: [process.execPath, ...nodeArgs, main, 'serve', '--config', file, '--workers', String(workers)],
      home,
      url: `http://${address}`,
      readyPath: '/readyz',
      cores: undefined,
    })
    return new Soaked(launched, store)
  }

  /** Starts a job and waits for nothing; one that is under way goes on. */
  async startJob(kind: 'collections' | 'scrubs'): Promise<void> {
    const { status, body } = await this.#admin('POST', kind)
    if (status >= 400 && status !== 409) throw new Error(`${kind}: ${status} ${JSON.stringify(body)}`)
  }

  /** The counter's or gauge's values of all labels, added up. */
  async metric(name: string, labels = ''): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text()
    const values = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*${labels}[^}]*\\})? (\\S+)$`, 'gm'))]
    return values.reduce((sum, [, value]) => sum + Number(value), 0)
  }

  async #admin(method: string, path: string): Promise<{ status: number; body: unknown }> {
    const socketPath = join(this.store, 'admin.sock')
    const headers = { host: 'localhost' }
    const [response] = await once(
      request({ socketPath, method, path: `/api/v1/${path}`, headers }).end(),
      'response',
    )
    return { status: response.statusCode, body: await json(response) }
  }
}

/** Tags are asked for again within seconds, so that superseded versions are left to eviction at once. */
function configuration(address: string, store: string, options: SoakedOptions) {
  const { registry, originPort, capBytes } = options
  return {
    listen: address,
    admin: { listen: 'off' },
    store: { path: store, maxSize: `${capBytes}B`, minFree: '1GiB', grace: '10s', scrubRate: '64MiB' },
    limits: { stalled: '20s' },
    upstreams: [
      {
        registry,
        url: `http://127.0.0.1:${originPort}`,
        tags: [{ match: '*', fresh: '2s' }],
        unused: '5m',
      },
    ],
    local: [{ match: 'local/**', retention: [{ match: 'pr-*', keep: { last: 5 }, enforce: true }] }],
  }
}
