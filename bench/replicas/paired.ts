/** Two servers under the same load in turn, round after round: one's rate by the other's. */
import { type Figure, median, spread } from '../figure.ts'
import type { Load } from '../peers/load.ts'
import type { Site } from '../site.ts'

export interface Pair {
  what: string
  unit: 'requests/s' | 'bytes/s'
  goal: number
  rounds: number
  seconds: number
  load: (url: string, seconds: number) => Promise<Load>
  /** URLs. */
  one: string
  /** Whose rate is 1. */
  other: string
}

const warmUpSeconds = 1

export async function paired(site: Site, pair: Pair): Promise<Figure> {
  const { what, unit, goal, one, other } = pair
  const rate = async (url: string, seconds: number) => {
    const load = await pair.load(url, seconds)
    if (load.failed > 0) throw new Error(`${what}: ${load.failed} of ${load.requests} answers were not right`)
    return (unit === 'bytes/s' ? load.bytes : load.requests) / load.seconds
  }
  for (const url of [one, other]) await rate(url, warmUpSeconds)
  const rates: { one: number; other: number }[] = []
  for (let round = 0; round < site.rounds(pair.rounds); round += 1) {
    const seconds = site.seconds(pair.seconds)
    const first = round % 2 === 0 ? await rate(one, seconds) : undefined // the first to go changes
    const beside = await rate(other, seconds)
    rates.push({ one: first ?? (await rate(one, seconds)), other: beside })
  }
  const ratios = rates.map(round => round.one / round.other)
  const of = (key: 'one' | 'other') => {
    const all = rates.map(round => round[key])
    return unit === 'bytes/s' ? spread(all.map(inGigabytes), 2, ' GB/s') : spread(all, 0, '/s')
  }
  return {
    figure: what,
    goal: `≥ ${goal}`,
    measured: `${spread(ratios, 2)}; ${of('one')} against ${of('other')}`,
    reached: median(ratios) >= goal,
  }
}

function inGigabytes(bytes: number): number {
  return bytes / 1e9
}
