/** Layover as a person runs it: the command, a file, a store on the real disk. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort, type Launched, launch, Server } from './server.ts'

export interface LayoverOptions {
  /** Folder of its own; a store that lies in `data` there is used. */
  home: string
  /** `dist/main.js` instead of `src/main.ts`. */
  built: boolean
  /** Name by which clients ask → port of the origin. */
  upstreams: Record<string, number>
  cores: string | undefined
}

export class Layover extends Server {
  readonly store: string

  private constructor(launched: Launched, store: string) {
    super(launched)
    this.store = store
  }

  static async start({ home, built, upstreams, cores }: LayoverOptions): Promise<Layover> {
    const address = `127.0.0.1:${await freePort()}`
    const store = join(home, 'data')
    const file = join(home, 'upstreams.yaml')
    await mkdir(home, { recursive: true })
    await writeFile(file, configuration(address, store, upstreams))
    const main = fileURLToPath(new URL(built ? '../dist/main.js' : '../src/main.ts', import.meta.url))
    const command = [process.execPath, main, 'serve', '--config', file] as const
    return new Layover(
      await launch({ command: [...command], home, url: `http://${address}`, readyPath: '/readyz', cores }),
      store,
    )
  }
}

/** `kept` counts as fresh for long, every other tag is asked for each time. */
function configuration(address: string, store: string, upstreams: Record<string, number>): string {
  const entries = Object.entries(upstreams).map(
    ([registry, port]) => `  - registry: ${registry}
    url: http://127.0.0.1:${port}
    tags: [{match: kept, fresh: 1h}, {match: "*", fresh: 0s}]`,
  )
  return `listen: ${address}
store: {path: ${JSON.stringify(store)}}
upstreams:
${entries.join('\n')}
local:
  - match: local/**
`
}
