/** The registry that pushes are compared with: distribution v3 on a disk of the same kind, logging nothing. */
import { execFileSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { freePort, launch, Server } from './server.ts'

/** Where `test/setup.sh` puts what no Debian package offers, Go's own place, then PATH. */
const folders = [
  process.env.LAYOVER_TOOLS ?? join(homedir(), '.cache', 'layover-tools', 'bin'),
  join(homedir(), 'go', 'bin'),
  ...(process.env.PATH ?? '').split(delimiter),
]
const wanted = / v3\./

/** The program and what it calls itself; undefined: there is none of version 3 here. */
export function findDistribution(): { program: string; version: string } | undefined {
  for (const folder of folders) {
    const program = join(folder, 'registry')
    try {
      accessSync(program, constants.X_OK)
      const version = execFileSync(program, ['--version'], { encoding: 'utf8' }).trim()
      if (wanted.test(version)) return { program, version }
    } catch {} // not in this folder, or another program of that name
  }
  return undefined
}

export async function startDistribution(
  program: string,
  { home, cores }: { home: string; cores: string | undefined },
): Promise<Server> {
  const address = `127.0.0.1:${await freePort()}`
  const file = join(home, 'config.yml')
  await mkdir(home, { recursive: true })
  await writeFile(file, configuration(address, join(home, 'data')))
  const command = [program, 'serve', file] as const
  const env = { OTEL_TRACES_EXPORTER: 'none' }
  return new Server(
    await launch({ command: [...command], home, url: `http://${address}`, readyPath: '/v2/', cores, env }),
  )
}

function configuration(address: string, folder: string): string {
  return `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: ${JSON.stringify(folder)}}
  delete: {enabled: true}
http: {addr: "${address}", secret: bench}
`
}
