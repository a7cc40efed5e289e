/** One reader of a cold GiB: through Layover against straight from the origin, in alternating runs. */
import { rm } from 'node:fs/promises'
import type { Transfer } from '../bulk.ts'
import { GiB, MiB } from '../content.ts'
import { type Figure, median, spread } from '../figure.ts'
import type { Layover } from '../layover.ts'
import type { Site } from '../site.ts'

export function coldShaped(site: Site): Promise<Figure[]> {
  return cold(site, { rate: 100 * MiB, pairs: 2, goal: 1.03, andSave: false })
}

export function coldUnbounded(site: Site): Promise<Figure[]> {
  return cold(site, { rate: 0, pairs: 5, goal: 2, andSave: true })
}

async function cold(site: Site, { rate, pairs, goal, andSave }: Plan): Promise<Figure[]> {
  await site.origin.call('shape', rate)
  await using layover = await site.startLayover()
  const measured = []
  for (let pair = 0; pair < site.rounds(pairs); pair += 1)
    measured.push(await onePair(site, layover, andSave))
  await site.origin.call('shape', 0)
  return report(measured, goal)
}

async function onePair(site: Site, layover: Layover, andSave: boolean) {
  const direct = await readDirect(site, {})
  const saved = andSave ? seconds(await readAndSave(site)) : undefined
  const blob = await site.addBlob(GiB)
  const before = await layover.cpuSeconds()
  const through = await site.read(layover.url + blob.path, blob)
  await site.settled(layover, blob)
  const after = await layover.cpuSeconds()
  const { bytes } = await site.upstreamCost(blob.digest)
  return {
    direct: seconds(direct),
    saved,
    through: seconds(through),
    user: after.user - before.user,
    system: after.system - before.system,
    copies: bytes / GiB,
    right: direct.right && through.right,
  }
}

/** What a client pays that has no cache between: it checks the digest and keeps the blob. */
async function readAndSave(site: Site): Promise<Transfer> {
  const saveTo = site.newPath()
  const saved = await readDirect(site, { hash: true, saveTo })
  await rm(saveTo)
  return saved
}

async function readDirect(site: Site, options: { hash?: boolean; saveTo?: string }): Promise<Transfer> {
  const blob = await site.addBlob(GiB)
  return site.read(blob.direct, blob, options)
}

function report(pairs: Awaited<ReturnType<typeof onePair>>[], goal: number): Figure[] {
  const ratios = pairs.map(({ direct, through }) => through / direct)
  const of = (key: 'direct' | 'through' | 'user' | 'system', unit: string) =>
    spread(
      pairs.map(pair => pair[key]),
      2,
      unit,
    )
  const copies = pairs.map(pair => pair.copies)
  const wrong = pairs.filter(({ right }) => !right).length
  return [
    {
      figure: 'time through Layover / direct',
      goal: `≤ ${goal}`,
      measured: `${spread(ratios, 2)}; ${of('through', ' s')} against ${of('direct', ' s')}`,
      reached: median(ratios) <= goal,
    },
    ...savedFigure(pairs),
    {
      figure: 'upstream bytes',
      goal: '1.0',
      measured: spread(copies, 3),
      reached: copies.every(share => share <= 1.005),
    },
    { figure: 'bodies that are not right', goal: '0', measured: String(wrong), reached: wrong === 0 },
    {
      figure: 'CPU of Layover',
      goal: 'reported',
      measured: `user ${of('user', ' s/GiB')}, system ${of('system', ' s/GiB')}`,
      reached: undefined,
    },
  ]
}

function savedFigure(pairs: readonly { saved: number | undefined; through: number }[]): Figure[] {
  const saved = pairs.flatMap(pair => pair.saved ?? [])
  if (saved.length === 0) return []
  const ratios = pairs.map(pair => pair.through / (pair.saved ?? Number.NaN))
  return [
    {
      figure: '  / direct, client hashing and saving to disk',
      goal: 'reported',
      measured: `${spread(ratios, 2)}; against ${spread(saved, 2, ' s')}`,
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
  /** Also compare with a client that fetches directly and keeps the blob. */
  andSave: boolean
}
