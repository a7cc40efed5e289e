/** Cached blobs that are worth streaming: 1 MiB, 1 GiB, and ranges of it. */
import { GiB, KiB, MiB } from '../../content.ts'
import type { Figure } from '../../figure.ts'
import { absent, compare, type Work } from '../../peers/compare.ts'
import { makeShelf } from '../../peers/shelf.ts'
import { openStand, type Stall } from '../../peers/stand.ts'
import type { Site } from '../../site.ts'

const rangeFirst = GiB / 2
export const rangeOf = {
  what: '64 KiB in the middle of 1 GiB, 8 connections',
  headers: { Range: `bytes=${rangeFirst}-${rangeFirst + 64 * KiB - 1}` },
}

export async function largeBlobs(site: Site): Promise<Figure[]> {
  const shelf = makeShelf([MiB, GiB])
  const [, mebibyte, gibibyte] = shelf.blobs
  await using stand = await openStand(site, { shelves: [shelf], proxied: true })
  const draining =
    (digest: string | undefined, connections: number, headers?: Record<string, string>) =>
    ({ server, base }: Stall, seconds: number) =>
      site.client.call('drain', {
        url: `${server.url}${base}/blobs/${digest}`,
        connections,
        seconds,
        ...(headers ? { headers } : {}),
      })
  const works: readonly Work[] = [
    {
      what: 'blob 1 MiB, 8 connections',
      unit: 'bytes/s',
      goal: 1,
      rounds: 4,
      seconds: 1.5,
      load: draining(mebibyte?.digest, 8),
    },
    {
      what: 'blob 1 GiB, one reader',
      unit: 'bytes/s',
      goal: 1,
      rounds: 4,
      seconds: 2,
      load: draining(gibibyte?.digest, 1),
    },
    {
      what: rangeOf.what,
      unit: 'requests/s',
      goal: 1,
      rounds: 3,
      seconds: 1.5,
      load: draining(gibibyte?.digest, 8, rangeOf.headers),
    },
  ]
  const figures: Figure[] = []
  for (const work of works) figures.push(...(await compare(stand, work)))
  return [...figures, ...absent(stand)]
}
