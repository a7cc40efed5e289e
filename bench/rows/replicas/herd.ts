/** Fifty clients at each of three replicas, all at once on one cold blob. */
import type { Transfer } from '../../bulk.ts'
import { MiB } from '../../content.ts'
import { type Figure, median, spread } from '../../figure.ts'
import { type Group, type Sharing, startGroup } from '../../replicas/group.ts'
import type { Blob, Site } from '../../site.ts'

const readers = 50
const usualSize = 200 * MiB
const quickSize = 20 * MiB
const rate = 100 * MiB
const rounds = 3
const goals = { copies: 1.05, ratio: 1.3 }

export async function clusterHerd(site: Site): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const shares of ['Redis and S3', 'Redis'] as const) figures.push(...(await herdAt(site, shares)))
  return figures
}

async function herdAt(site: Site, shares: Sharing): Promise<Figure[]> {
  await site.origin.call('shape', rate)
  await using group = await startGroup(site, { shares })
  const measured = []
  for (let round = 0; round < site.rounds(rounds); round += 1) measured.push(await oneHerd(site, group))
  await site.origin.call('shape', 0)
  return report(shares, measured)
}

async function oneHerd(site: Site, group: Group) {
  const size = site.quick ? quickSize : usualSize
  const blob = await site.addBlob(size)
  const cold = await readAtAll(site, group, blob)
  for (const layover of group.layovers) await site.settled(layover, blob)
  const { gets, bytes } = await site.upstreamCost(blob.digest)
  const cached = await readAtAll(site, group, blob)
  return {
    gets,
    copies: bytes / size,
    wrong: [...cold, ...cached].filter(({ right }) => !right).length,
    coldSeconds: secondsOf(cold),
    cachedSeconds: secondsOf(cached),
  }
}

async function readAtAll(site: Site, { layovers }: Group, { path, spec }: Blob): Promise<Transfer[]> {
  const asks = layovers.map(({ url }) => site.client.call('bulk', { url: url + path, spec, readers }))
  return (await Promise.all(asks)).flat()
}

function report(shares: Sharing, rounds: Awaited<ReturnType<typeof oneHerd>>[]): Figure[] {
  const of = (key: keyof (typeof rounds)[number]) => rounds.map(round => round[key])
  const ratios = rounds.map(round => round.coldSeconds / round.cachedSeconds)
  return [
    {
      figure: `${shares}: upstream GETs`,
      goal: '1',
      measured: spread(of('gets'), 0),
      reached: of('gets').every(count => count === 1),
    },
    {
      figure: `${shares}: upstream copies`,
      goal: `≤ ${goals.copies}`,
      measured: spread(of('copies'), 2),
      reached: of('copies').every(share => share <= goals.copies),
    },
    {
      figure: `${shares}: bodies that are not right`,
      goal: '0',
      measured: String(Math.max(...of('wrong'))),
      reached: of('wrong').every(count => count === 0),
    },
    {
      figure: `${shares}: all done / the same from the caches`,
      goal: `≤ ${goals.ratio}`,
      measured: `${spread(ratios, 2)}; cold ${spread(of('coldSeconds'), 2, ' s')}, cached ${spread(of('cachedSeconds'), 2, ' s')}`,
      reached: median(ratios) <= goals.ratio,
    },
  ]
}

function secondsOf(transfers: readonly Transfer[]): number {
  const started = Math.min(...transfers.map(({ startedMs }) => startedMs))
  return (Math.max(...transfers.map(({ endedMs }) => endedMs)) - started) / 1000
}
