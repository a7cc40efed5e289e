/** The replica that fetches a blob is killed when half of it is there; clients that lost their connection ask another one. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Transfer } from '../../bulk.ts'
import { MiB } from '../../content.ts'
import { type Figure, spread } from '../../figure.ts'
import { type Sharing, startGroup } from '../../replicas/group.ts'
import type { Blob, Site } from '../../site.ts'

const usualSize = 400 * MiB
const quickSize = 100 * MiB
const rate = 100 * MiB
const readers = 5
const rounds = 3
const tries = 20
const betweenTriesMs = 500
const mostCopies = 1.5

export async function clusterKill(site: Site): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const shares of ['Redis and S3', 'Redis'] as const) figures.push(...(await killAt(site, shares)))
  return figures
}

async function killAt(site: Site, shares: Sharing): Promise<Figure[]> {
  await site.origin.call('shape', rate)
  const measured = []
  for (let round = 0; round < site.rounds(rounds); round += 1) measured.push(await oneKill(site, shares))
  await site.origin.call('shape', 0)
  const copies = measured.map(round => round.copies)
  const wrong = measured.reduce((total, round) => total + round.wrong, 0)
  return [
    {
      figure: `${shares}: upstream copies`,
      goal: `≤ ${mostCopies}`,
      measured: spread(copies, 2),
      reached: copies.every(count => count <= mostCopies),
    },
    {
      figure: `${shares}: clients that tried again and are not right`,
      goal: '0',
      measured: `${wrong} of ${measured.length * 3 * readers}; ${spread(
        measured.map(round => round.again),
        0,
      )} had to try again`,
      reached: wrong === 0,
    },
  ]
}

async function oneKill(site: Site, shares: Sharing) {
  await using group = await startGroup(site, { shares })
  const [flying, ...others] = group.layovers
  if (!flying) throw new Error('there is no replica')
  const size = site.quick ? quickSize : usualSize
  const blob = await site.addBlob(size)
  const read = (url: string) => site.client.call('bulk', { url: url + blob.path, spec: blob.spec, readers })
  const first = read(flying.url)
  await untilSent(site, blob, 1)
  const reading = [first, ...others.map(({ url }) => read(url))]
  await untilSent(site, blob, size / 2)
  await flying.kill()
  const transfers = (await Promise.all(reading)).flat()
  const broken = transfers.filter(({ right }) => !right)
  const urls = others.map(({ url }) => url)
  const again = await Promise.all(
    broken.map((_, client) => readAgain(site, blob, urls[client % urls.length])),
  )
  const { bytes } = await site.upstreamCost(blob.digest)
  return {
    copies: bytes / size,
    again: broken.length,
    wrong: again.filter(transfer => transfer?.right !== true).length,
  }
}

/** Resolves when the origin has sent so many bytes of it. */
async function untilSent(site: Site, { digest }: Blob, least: number): Promise<void> {
  while ((await site.origin.call('sentOf', digest)) < least) await pause(20)
}

async function readAgain(site: Site, blob: Blob, url: string | undefined): Promise<Transfer | undefined> {
  let transfer: Transfer | undefined
  for (let tried = 0; tried < tries && transfer?.right !== true; tried += 1) {
    if (tried > 0) await pause(betweenTriesMs)
    transfer = await site.read(`${url}${blob.path}`, blob)
  }
  return transfer
}
