/** What Layover holds when nobody asks it for anything: before any work, and after some. */
import { setTimeout as pause } from 'node:timers/promises'
import { MiB } from '../content.ts'
import type { Figure } from '../figure.ts'
import type { Layover } from '../layover.ts'
import type { Site } from '../site.ts'

const idleSeconds = 60
const goalBytes = 90 * MiB
const readers = 20

export async function idle(site: Site): Promise<Figure[]> {
  await using layover = await site.startLayover()
  const seconds = site.seconds(idleSeconds)
  const before = await afterIdling(layover, seconds)
  const blob = await site.addBlob(100 * MiB)
  await site.client.call('bulk', { url: layover.url + blob.path, spec: blob.spec, readers })
  const worked = await afterIdling(layover, seconds)
  const how = site.built ? 'built' : 'from source: --built counts'
  return [
    {
      figure: `memory idle for ${seconds} s, RSS`,
      goal: '≤ 90 MiB',
      measured: `${mebibytes(before.resident)} (${how}); PSS ${mebibytes(before.proportional)}`,
      reached: before.resident <= goalBytes,
    },
    {
      figure: `  after ${readers} pulls of 100 MiB`,
      goal: 'reported',
      measured: mebibytes(worked.resident),
      reached: undefined,
    },
  ]
}

async function afterIdling(layover: Layover, seconds: number) {
  await pause(seconds * 1000)
  return layover.memoryBytes()
}

function mebibytes(bytes: number): string {
  return `${(bytes / MiB).toFixed(1)} MiB`
}
