/** Layover as a person runs it: the command, a file, a store on the real disk. */
import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
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
  /** Undefined: plain HTTP. */
  certificate?: Certificate | undefined
}

export class Layover extends Server {
  readonly store: string

  private constructor(launched: Launched, store: string) {
    super(launched)
    this.store = store
  }

  static async start({ home, cores, ...options }: LayoverOptions): Promise<Layover> {
    const address = `127.0.0.1:${await freePort()}`
    const { store, file } = await writeConfiguration(home, address, options)
    const command = [process.execPath, mainOf(options), 'serve', '--config', file] as const
    const url = `${options.certificate ? 'https' : 'http'}://${address}`
    return new Layover(await launch({ command: [...command], home, url, readyPath: '/readyz', cores }), store)
  }
}

/** Whether it takes such a configuration; what is not built yet is refused. */
export async function accepts({ home, ...options }: Omit<LayoverOptions, 'cores'>): Promise<boolean> {
  const { file } = await writeConfiguration(home, '127.0.0.1:1', options)
  const check = promisify(execFile)(process.execPath, [mainOf(options), 'check', '--config', file])
  return check.then(
    () => true,
    () => false,
  )
}

function mainOf({ built }: Pick<LayoverOptions, 'built'>): string {
  return fileURLToPath(new URL(built ? '../dist/main.js' : '../src/main.ts', import.meta.url))
}

type Settings = Pick<LayoverOptions, 'upstreams' | 'certificate'>

async function writeConfiguration(home: string, address: string, settings: Settings) {
  const store = join(home, 'data')
  const file = join(home, 'upstreams.yaml')
  await mkdir(home, { recursive: true })
  await writeFile(file, configuration(address, store, settings))
  return { store, file }
}

/** `kept` counts as fresh for long, every other tag is asked for each time. */
function configuration(address: string, store: string, { upstreams, certificate }: Settings): string {
  const entries = Object.entries(upstreams).map(
    ([registry, port]) => `  - registry: ${registry}
    url: http://127.0.0.1:${port}
    tags: [{match: kept, fresh: 1h}, {match: "*", fresh: 0s}]`,
  )
  const listening = certificate
    ? `listeners:
  - address: ${address}
    role: registry
    tls: {cert: "file:${certificate.cert}", key: "file:${certificate.key}"}`
    : `listen: ${address}`
  return `${listening}
store: {path: ${JSON.stringify(store)}}
upstreams:
${entries.join('\n')}
local:
  - match: local/**
`
}
