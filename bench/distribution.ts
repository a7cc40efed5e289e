/** The registry that pushes are compared with: distribution v3 on a disk of the same kind. */
import { execFileSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Certificate } from './layover.ts'
import { freePort, goEnvironment, launch, Server } from './server.ts'

/** Where `test/setup.sh` puts what no Debian package offers, Go's own place, then PATH. */
const folders = [
  process.env.LAYOVER_TOOLS ?? join(homedir(), '.cache', 'layover-tools', 'bin'),
  join(homedir(), 'go', 'bin'),
  ...(process.env.PATH ?? '').split(delimiter),
  '/usr/sbin', // where Debian has nginx, and a person's PATH does not
]
const wanted = / v3\./

/** The program and what it calls itself; undefined: there is none of version 3 here. */
export function findDistribution(): { program: string; version: string } | undefined {
  return findProgram('registry', wanted)
}

/** The first of that name whose `--version` looks like this. */
export function findProgram(name: string, like: RegExp): { program: string; version: string } | undefined {
  for (const program of programsNamed(name)) {
    try {
      const version = execFileSync(program, ['--version'], { encoding: 'utf8' }).trim()
      if (like.test(version)) return { program, version }
    } catch {} // another program of that name
  }
  return undefined
}

export function findOnPath(name: string): string | undefined {
  return programsNamed(name).at(0)
}

function programsNamed(name: string): string[] {
  return folders
    .map(folder => join(folder, name))
    .filter(program => {
      try {
        accessSync(program, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

export interface DistributionOptions {
  home: string
  cores: string | undefined
  /** One line a request, as it comes. */
  accessLog?: boolean
  certificate?: Certificate | undefined
  /** URL of a registry that it caches. */
  upstream?: string | undefined
}

export async function startDistribution(program: string, options: DistributionOptions): Promise<Server> {
  const { home, cores, certificate } = options
  const address = `127.0.0.1:${await freePort()}`
  const file = join(home, 'config.yml')
  await mkdir(home, { recursive: true })
  await writeFile(file, configuration(address, options))
  const command = [program, 'serve', file] as const
  const env = { OTEL_TRACES_EXPORTER: 'none', ...goEnvironment(cores) }
  const url = `${certificate ? 'https' : 'http'}://${address}`
  return new Server(await launch({ command: [...command], home, url, readyPath: '/v2/', cores, env }))
}

function configuration(
  address: string,
  { home, accessLog = false, certificate, upstream }: DistributionOptions,
): string {
  const tls = certificate ? `, tls: {certificate: "${certificate.cert}", key: "${certificate.key}"}` : ''
  return `version: 0.1
log: {level: ${accessLog ? 'info' : 'error'}, accesslog: {disabled: ${!accessLog}}}
storage:
  filesystem: {rootdirectory: ${JSON.stringify(join(home, 'data'))}}
  delete: {enabled: true}
http: {addr: "${address}", secret: bench${tls}}
${upstream === undefined ? '' : `proxy: {remoteurl: "${upstream}"}`}
`
}
