/** A manifest by tag among ever more tags: scattered, so that no memory cache holds what is asked for. */

import type { Figure } from '../../figure.ts'
import { median, spread } from '../../figure.ts'
import { makeTagged } from '../../holdings-tags.ts'
import type { Load } from '../../peers/load.ts'
import { clientCore, serverCore } from '../../peers/stand.ts'
import { wrk } from '../../peers/wrk.ts'
import type { Site } from '../../site.ts'

const counts = [10, 10_000, 1_000_000] as const
const goalPerSecond = 7_000
const rounds = 3
const seconds = 3

export async function manyTags(site: Site): Promise<Figure[]> {
  const { home, repositoryOf } = await makeTagged(site, counts)
  await using layover = await site.startLayover({ home, cores: serverCore })
  const runs = new Map<number, Load[]>(counts.map(tags => [tags, []]))
  for (let round = 0; round <= rounds; round += 1) {
    for (const tags of counts) {
      const url = `${layover.url}/v2/${repositoryOf(tags)}/manifests/`
      const load = await wrk({ url, connections: 32, seconds, cores: clientCore, tags })
      if (load.failed > 0) throw new Error(`${load.failed} of ${load.requests} tags were not found`)
      if (round > 0) runs.get(tags)?.push(load)
    }
  }
  return [...runs].map(([tags, loads]) => figure(tags, loads))
}

function figure(tags: number, loads: readonly Load[]): Figure {
  const rates = loads.map(load => load.requests / load.seconds)
  const most = Math.max(...counts)
  const p99 = median(loads.map(({ p99Ms }) => p99Ms))
  return {
    figure: `manifest by tag, scattered among ${tags} tags`,
    goal: tags === most ? `≥ ${goalPerSecond}/s` : '',
    measured: `${spread(rates, 0, '/s')}; p99 ${p99.toFixed(2)} ms`,
    reached: tags === most ? median(rates) >= goalPerSecond : undefined,
  }
}
