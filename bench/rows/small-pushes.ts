/** Blobs of 4 KiB, a new connection for every request, each blob unlike any before: what durability costs when there is little to write. */
import { type Figure, median, spread } from '../figure.ts'
import type { Way } from '../pushing.ts'
import type { Site } from '../site.ts'
import { inTurn, push, type Rivals, startRivals } from './rivals.ts'

const size = 4096
const rounds = 7
const warmUps = 2
const goal = 2
const plans: readonly Plan[] = [
  { what: 'one after another', clients: 1, way: 'session', blobs: 400 },
  { what: '32 clients at once', clients: 32, way: 'session', blobs: 1600 },
]
/** One request instead of two; distribution takes no blob that way. */
const single: Plan = { what: 'POST ?digest=, one after another', clients: 1, way: 'single', blobs: 400 }

export async function smallPushes(site: Site): Promise<Figure[]> {
  await using rivals = await startRivals(site, { oneCore: true })
  const seeds = seedsFrom(1)
  const figures: Figure[] = []
  for (const plan of plans) figures.push(await comparedFigure(site, rivals, { plan, seeds }))
  const alone: Rivals = { ...rivals, theirs: undefined }
  figures.push(await comparedFigure(site, alone, { plan: single, seeds }))
  return figures
}

async function comparedFigure(site: Site, rivals: Rivals, { plan, seeds }: Work): Promise<Figure> {
  const { what, clients, way, blobs } = plan
  const measured = []
  for (let round = 0; round < warmUps + site.rounds(rounds); round += 1) {
    const specs = Array.from({ length: blobs }, () => ({ seed: seeds.next().value, size }))
    const both = await inTurn(rivals, round, rival => push(site, rival, { specs, clients, way }))
    if (round >= warmUps) measured.push(both)
  }
  const ours = measured.map(round => blobs / round.ours.seconds)
  const theirs = measured.flatMap(round => (round.theirs ? blobs / round.theirs.seconds : []))
  const ratios = measured.flatMap(round => (round.theirs ? round.theirs.seconds / round.ours.seconds : []))
  const busy = `client busy ${spread(
    measured.map(round => round.ours.busy),
    2,
  )}`
  const against = ratios.length === 0 ? '' : `${spread(ratios, 2)}; `
  const other = ratios.length === 0 ? '' : ` against ${spread(theirs, 0, '/s')}`
  return {
    figure: `4 KiB, ${what}${rivals.theirs ? `, speed / ${rivals.comparedWith}` : ''}`,
    goal: rivals.theirs ? `≥ ${goal.toFixed(1)}` : 'reported',
    measured: `${against}${spread(ours, 0, '/s')}${other}; ${busy}`,
    reached: ratios.length === 0 ? undefined : median(ratios) >= goal,
  }
}

function* seedsFrom(first: number): Generator<number, never> {
  for (let seed = first; ; seed += 1) yield seed
}

interface Plan {
  what: string
  clients: number
  way: Way
  blobs: number
}

interface Work {
  plan: Plan
  seeds: Generator<number, never>
}
