/** What twenty pushes at once hold in memory. */
import { setTimeout as pause } from 'node:timers/promises'
import { MiB } from '../content.ts'
import type { Figure } from '../figure.ts'
import type { Server } from '../server.ts'
import type { Site } from '../site.ts'
import { push, startRivals } from './rivals.ts'

const clients = 20
const size = 200 * MiB
const settleMs = 10_000
const sampleMs = 20
const goalBytes = 80 * MiB

export async function pushMemory(site: Site): Promise<Figure[]> {
  await using rivals = await startRivals(site, { oneCore: false })
  const figures: Figure[] = []
  for (const [name, rival] of [
    ['Layover', rivals.ours],
    [rivals.comparedWith, rivals.theirs],
  ] as const) {
    if (rival === undefined) continue
    await pause(settleMs)
    const idle = await proportional(rival.server)
    const specs = Array.from({ length: clients }, (_, seed) => ({ seed, size }))
    const pushing = push(site, rival, { specs, clients, way: 'session' })
    const most = await mostBytes(rival.server, pushing)
    const { seconds } = await pushing
    figures.push({
      figure: `${clients} pushes of ${size / MiB} MiB at once, PSS above idle, ${name}`,
      goal: rival === rivals.ours ? '≤ 80 MiB' : 'reported',
      measured: `${mebibytes(most - idle)}; idle ${mebibytes(idle)}; all done in ${seconds.toFixed(1)} s`,
      reached: rival === rivals.ours ? most - idle <= goalBytes : undefined,
    })
  }
  return figures
}

async function mostBytes(server: Server, until: Promise<unknown>): Promise<number> {
  const over = until.then(
    () => true,
    () => true,
  )
  let most = 0
  do most = Math.max(most, await proportional(server))
  while (!(await Promise.race([over, pause(sampleMs, false)])))
  return most
}

async function proportional(server: Server): Promise<number> {
  return (await server.memoryBytes()).proportional
}

function mebibytes(bytes: number): string {
  return `${(bytes / MiB).toFixed(1)} MiB`
}
