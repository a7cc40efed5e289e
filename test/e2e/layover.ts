/** Layover as a person starts it: the command, a file and a port. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { freePort } from '../support/free-port.ts'
import { Daemon } from './daemon.ts'
import { environment } from './environment.ts'
import type { Registry, SeenRequest } from './origin.ts'

const startTimeoutMs = 30_000
/** Another entry to try the same tests on, e.g. `dist/main.js` after a build. */
const main = resolve(process.env.LAYOVER_MAIN ?? join(import.meta.dirname, '../../src/main.ts'))

/** The name under which Layover offers the origin; it resolves nowhere, so that only the mirror can answer. */
export const originName = 'origin.test'
const localNames = 'local/**'

export interface LayoverSetting {
  /** Of its folder under the root. */
  readonly name?: string
  readonly local?: readonly string[]
  /** Besides the one at its address. */
  readonly listeners?: readonly object[]
  /** Other keys of the configuration, whole. */
  readonly settings?: Readonly<Record<string, unknown>>
  /** Of the upstream; without them it is asked as nobody. */
  readonly credentials?: object | undefined
}

export class Layover implements Registry, AsyncDisposable {
  readonly namespace = `${originName}/`
  readonly address: string
  readonly #daemon: Daemon

  private constructor(daemon: Daemon, address: string) {
    this.#daemon = daemon
    this.address = address
  }

  static async start(
    root: string,
    upstream: Pick<Registry, 'address'>,
    { name = 'layover', ...setting }: LayoverSetting = {},
  ): Promise<Layover> {
    const home = join(root, name)
    await mkdir(home)
    const address = `127.0.0.1:${await freePort()}`
    const file = join(home, 'upstreams.yaml')
    await writeFile(file, configuration(address, upstream.address, setting))
    const daemon = new Daemon(process.execPath, [main, 'serve', '--config', file], {
      cwd: home,
      env: environment(home),
    })
    const layover = new Layover(daemon, address)
    await layover.#ready()
    return layover
  }

  async #ready(): Promise<void> {
    const bound = AbortSignal.any([this.#daemon.signal, AbortSignal.timeout(startTimeoutMs)])
    for (;;) {
      bound.throwIfAborted()
      const response = await fetch(`http://${this.address}/readyz`).catch(() => undefined) // not listening yet
      if (response?.ok) return
      await pause(50, undefined, { signal: bound }).catch(() => undefined) // the bound speaks above
    }
  }

  /** Its namespace for what is pushed. */
  get local(): Registry {
    return { address: this.address, namespace: 'local/' }
  }

  /** Its last words, for a person who looks into a failed test. */
  log(): string {
    return this.#daemon.lines.slice(-60).join('\n')
  }

  /** Who did what, or was refused. */
  audits(): Record<string, unknown>[] {
    return this.#lines('"msg":"audit"')
  }

  /** What it was asked, as its log has it. */
  requests(): SeenRequest[] {
    return this.#lines('"msg":"request"').map(({ method, path, status }) => ({
      method: String(method),
      uri: String(path),
      status: Number(status),
    }))
  }

  #lines(holding: string): Record<string, unknown>[] {
    return this.#daemon.lines
      .filter(line => line.includes(holding))
      .map(line => JSON.parse(line) as Record<string, unknown>)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon.stop()
  }
}

/** Tags are asked for each time, so that the pulls after the origin's end are answered stale. JSON is YAML. */
function configuration(
  address: string,
  upstream: string,
  { local = [localNames], listeners = [], settings, credentials }: LayoverSetting,
): string {
  const asked = { registry: originName, url: `http://${upstream}`, default: true }
  const shared = credentials && { credentials, shareWithEveryone: true }
  return JSON.stringify({
    listeners: [{ address }, ...listeners],
    store: { path: './data', minFree: 0 },
    upstreams: [{ ...asked, ...shared, tags: [{ match: '*', fresh: '0s' }] }],
    local: local.map(match => ({ match })),
    ...settings,
  })
}
