/** One reader of a cold GiB: through Layover against straight from the origin, in alternating pairs of one run. */
import type { Transfer } from '../bulk.ts'
import { GiB, MiB } from '../content.ts'
import { type Figure, median, spread } from '../figure.ts'
import type { Layover } from '../layover.ts'
import type { Site } from '../site.ts'

export function coldShaped(site: Site): Promise<Figure[]> {
  return cold(site, { rate: 100 * MiB, pairs: 2, goal: 1.03 })
}

export function coldUnbounded(site: Site): Promise<Figure[]> {
  return cold(site, { rate: 0, pairs: 5, goal: 3 })
}

async function cold(site: Site, { rate, pairs, goal }: Plan): Promise<Figure[]> {
  await site.origin.call('shape', rate)
  await using layover = await site.startLayover()
  const measured = []
  for (let pair = 0; pair < pairs; pair += 1) measured.push(await onePair(site, layover))
  await site.origin.call('shape', 0)
  return report(measured, goal)
}

async function onePair(site: Site, layover: Layover) {
  const directBlob = await site.addBlob(GiB)
  const direct = await site.read(directBlob.direct, directBlob)
  const blob = await site.addBlob(GiB)
  const cpuBefore = await layover.cpuSeconds()
  const through = await site.read(layover.url + blob.path, blob)
  await site.settled(layover, blob)
  const cpuSeconds = (await layover.cpuSeconds()) - cpuBefore
  const { bytes } = await site.upstreamCost(blob.digest)
  return {
    direct: seconds(direct),
    through: seconds(through),
    cpuSeconds,
    copies: bytes / GiB,
    right: direct.right && through.right,
  }
}

function report(pairs: Awaited<ReturnType<typeof onePair>>[], goal: number): Figure[] {
  const ratios = pairs.map(({ direct, through }) => through / direct)
  const direct = spread(
    pairs.map(pair => pair.direct),
    2,
    ' s',
  )
  const through = spread(
    pairs.map(pair => pair.through),
    2,
    ' s',
  )
  const copies = pairs.map(pair => pair.copies)
  const wrong = pairs.filter(({ right }) => !right).length
  return [
    {
      figure: 'time through Layover / direct',
      goal: `≤ ${goal}`,
      measured: `${spread(ratios, 2)}; ${through} against ${direct}`,
      reached: median(ratios) <= goal,
    },
    {
      figure: 'upstream bytes',
      goal: '1.0',
      measured: spread(copies, 3),
      reached: copies.every(share => share <= 1.005),
    },
    { figure: 'bodies that are not right', goal: '0', measured: String(wrong), reached: wrong === 0 },
    {
      figure: 'CPU seconds of Layover',
      goal: 'reported',
      measured: spread(
        pairs.map(({ cpuSeconds }) => cpuSeconds),
        2,
        ' s/GiB',
      ),
      reached: undefined,
    },
  ]
}

function seconds({ startedMs, endedMs }: Transfer): number {
  return (endedMs - startedMs) / 1000
}

interface Plan {
  /** Of the origin, bytes a second; 0 is unlimited. */
  rate: number
  pairs: number
  goal: number
}
