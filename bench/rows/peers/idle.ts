/** What the servers hold when nobody has asked them for anything yet, all processes of each. */
import { setTimeout as pause } from 'node:timers/promises'
import { MiB } from '../../content.ts'
import type { Figure } from '../../figure.ts'
import { knows } from '../../layover.ts'
import { nginx } from '../../peers/nginx.ts'
import { registries } from '../../peers/registries.ts'
import { ours } from '../../peers/stand.ts'
import type { Server } from '../../server.ts'
import type { Site } from '../../site.ts'

const idleSeconds = 20

export async function idlePeers(site: Site): Promise<Figure[]> {
  await using started = new AsyncDisposableStack()
  const servers = new Map<string, Server>()
  servers.set(ours, started.use(await site.startLayover()))
  if (await knows('--workers', site))
    servers.set(`${ours}, 2 workers`, started.use(await site.startLayover({ args: ['--workers', '2'] })))
  for (const peer of [nginx, ...registries]) {
    const program = peer.find()
    if (program === undefined) continue
    const options = { home: site.newPath(), cores: undefined, certificate: undefined }
    servers.set(peer.name, started.use(await peer.start(program, options)))
  }
  await pause(site.seconds(idleSeconds) * 1000)
  const figures: Figure[] = []
  for (const [name, server] of servers) figures.push(await figure(name, server))
  return figures
}

async function figure(name: string, server: Server): Promise<Figure> {
  const { resident, proportional } = await server.memoryBytes()
  const { user, system } = await server.cpuSeconds()
  return {
    figure: `memory at rest: ${name}`,
    goal: '',
    measured: `PSS ${mebibytes(proportional)}, RSS ${mebibytes(resident)}; ready after ${server.bootMs.toFixed(0)} ms; ${(user + system).toFixed(2)} CPU s so far`,
    reached: undefined,
  }
}

function mebibytes(bytes: number): string {
  return `${(bytes / MiB).toFixed(0)} MiB`
}
