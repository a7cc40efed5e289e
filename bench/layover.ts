/** Layover as a person runs it: the command, a file, a store on the real disk. */
import { execFile } from 'node:child_process'
import { constants, existsSync } from 'node:fs'
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { freePort, type Launched, launch, Server } from './server.ts'

/** Files in PEM. */
export interface Certificate {
  cert: string
  key: string
}

export interface LayoverOptions {
  /** Folder of its own; a store that lies in `data` there is used. */
  home: string
  /** `dist/main.js` instead of `src/main.ts`. */
  built: boolean
  /** Name by which clients ask → port of the origin. */
  upstreams: Record<string, number>
  cores: string | undefined
  /** Keys of `store` besides its path. */
  store?: Readonly<Record<string, unknown>> | undefined
  /** How long tags other than `kept` count as fresh; default: each is asked for each time. */
  fresh?: string | undefined
  /** Further keys of the configuration, by the `host:port` that it listens on. */
  settings?: ((address: string) => Readonly<Record<string, unknown>>) | undefined
  /** Undefined: plain HTTP. */
  certificate?: Certificate | undefined
  /** Of `serve`. */
  args?: readonly string[] | undefined
  /** Of Node. */
  nodeArgs?: readonly string[] | undefined
}

export class Layover extends Server {
  readonly store: string

  private constructor(launched: Launched, store: string) {
    super(launched)
    this.store = store
  }

  static async start(options: LayoverOptions): Promise<Layover> {
    const { home, cores, args = [], nodeArgs = [] } = options
    const address = `127.0.0.1:${await freePort()}`
    const { store, file } = await writeConfiguration(home, address, options)
    const command = [...nodeArgs, mainOf(options), 'serve', '--config', file, ...args]
    const url = `${options.certificate ? 'https' : 'http'}://${address}`
    const launched = await launch({
      command: [await ownNode(home), ...command],
      home,
      url,
      readyPath: '/readyz',
      cores,
    })
    return new Layover(launched, store)
  }
}

/** A Node that nobody else runs: pages shared with the origin and the clients would flatter its memory. */
async function ownNode(home: string): Promise<string> {
  const copy = join(home, 'node')
  if (!existsSync(copy)) await copyFile(process.execPath, copy, constants.COPYFILE_FICLONE)
  return copy
}

/** Whether `serve` knows an option. */
export async function knows(option: string, options: Pick<LayoverOptions, 'built'>): Promise<boolean> {
  const { stdout } = await promisify(execFile)(process.execPath, [mainOf(options), '--help'])
  return stdout.includes(option)
}

/** Whether it takes such a configuration; what is not built yet is refused. */
export async function accepts({
  home,
  ...options
}: Omit<LayoverOptions, 'cores' | 'args' | 'nodeArgs'>): Promise<boolean> {
  const { file } = await writeConfiguration(home, '127.0.0.1:1', options)
  const check = promisify(execFile)(process.execPath, [mainOf(options), 'check', '--config', file])
  return check.then(
    () => true,
    () => false,
  )
}

export function mainOf({ built }: Pick<LayoverOptions, 'built'>): string {
  return fileURLToPath(new URL(built ? '../dist/main.js' : '../src/main.ts', import.meta.url))
}

type Settings = Pick<LayoverOptions, 'upstreams' | 'certificate' | 'store' | 'fresh' | 'settings'>

async function writeConfiguration(home: string, address: string, settings: Settings) {
  const store = join(home, 'data')
  const file = join(home, 'upstreams.yaml')
  await mkdir(home, { recursive: true })
  await writeFile(file, configuration(address, store, settings))
  return { store, file }
}

/** `kept` counts as fresh for long. */
function configuration(address: string, path: string, options: Settings): string {
  const { upstreams, certificate, store, fresh = '0s', settings } = options
  const entries = Object.entries(upstreams).map(
    ([registry, port]) => `  - registry: ${registry}
    url: http://127.0.0.1:${port}
    tags: [{match: kept, fresh: 1h}, {match: "*", fresh: ${fresh}}]`,
  )
  const listening = certificate
    ? `listeners:
  - address: ${address}
    role: registry
    tls: {cert: "file:${certificate.cert}", key: "file:${certificate.key}"}`
    : `listen: ${address}`
  return `${listening}
store: ${JSON.stringify({ path, ...store })}
upstreams:
${entries.join('\n')}
local:
  - match: local/**
${Object.entries(settings?.(address) ?? {})
  .map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`)
  .join('')}`
}
