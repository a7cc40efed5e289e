/** Fifty clients at once on one cold blob, upstream held to a speed that a busy mirror knows. */

import type { Transfer } from '../bulk.ts'
import { MiB } from '../content.ts'
import { type Figure, median, spread } from '../figure.ts'
import type { Layover } from '../layover.ts'
import type { Site } from '../site.ts'

const readers = 50
const size = 200 * MiB
const rate = 100 * MiB
const rounds = 3
/** How long the origin needs to send it once. */
const idealSeconds = size / rate

export async function herd(site: Site): Promise<Figure[]> {
  await site.origin.call('shape', rate)
  await using layover = await site.startLayover()
  const measured = []
  for (let round = 0; round < site.rounds(rounds); round += 1) measured.push(await oneHerd(site, layover))
  await site.origin.call('shape', 0)
  return report(measured)
}

async function oneHerd(site: Site, layover: Layover) {
  const blob = await site.addBlob(size)
  const url = layover.url + blob.path
  const cold = await site.client.call('bulk', { url, spec: blob.spec, readers })
  await site.settled(layover, blob)
  const { gets, bytes } = await site.upstreamCost(blob.digest)
  const cached = await site.client.call('bulk', { url, spec: blob.spec, readers })
  const checked = await site.read(url, blob, { hash: true })
  const wrong = [...cold, ...cached].filter(({ right }) => !right).length
  return {
    gets,
    copies: bytes / size,
    wrong: wrong + (blob.digest === `sha256:${checked.sha256}` ? 0 : 1),
    firstByteSeconds: Math.max(...cold.map(firstByteSeconds)),
    coldSeconds: secondsOf(cold),
    cachedSeconds: secondsOf(cached),
  }
}

function report(rounds: Awaited<ReturnType<typeof oneHerd>>[]): Figure[] {
  const gets = rounds.map(round => round.gets)
  const copies = rounds.map(round => round.copies)
  const wrong = Math.max(...rounds.map(round => round.wrong))
  const firstBytes = rounds.map(round => round.firstByteSeconds)
  const ratios = rounds.map(round => round.coldSeconds / Math.max(idealSeconds, round.cachedSeconds))
  const cold = spread(
    rounds.map(round => round.coldSeconds),
    2,
    ' s',
  )
  const cached = spread(
    rounds.map(round => round.cachedSeconds),
    2,
    ' s',
  )
  return [
    {
      figure: 'upstream GETs',
      goal: '1',
      measured: spread(gets, 0),
      reached: gets.every(count => count === 1),
    },
    {
      figure: 'upstream copies',
      goal: '1.0',
      measured: spread(copies, 2),
      reached: copies.every(share => share <= 1.005),
    },
    { figure: 'bodies that are not right', goal: '0', measured: String(wrong), reached: wrong === 0 },
    {
      figure: 'latest first byte',
      goal: '≤ 0.5 s',
      measured: spread(firstBytes, 2, ' s'),
      reached: median(firstBytes) <= 0.5,
    },
    {
      figure: 'all done / max(2.0 s, the same from the cache)',
      goal: '≤ 1.2',
      measured: `${spread(ratios, 2)}; cold ${cold}, cached ${cached}`,
      reached: median(ratios) <= 1.2,
    },
  ]
}

function firstByteSeconds({ startedMs, firstByteMs = Number.POSITIVE_INFINITY }: Transfer): number {
  return (firstByteMs - startedMs) / 1000
}

function secondsOf(transfers: readonly Transfer[]): number {
  return (
    (Math.max(...transfers.map(each => each.endedMs)) - Math.min(...transfers.map(each => each.startedMs))) /
    1000
  )
}
