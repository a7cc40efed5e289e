/** Pushes to Layover and to the other registries: one large blob, and many small ones at once. */
import { execFileSync } from 'node:child_process'
import { GiB, KiB, MiB } from '../../content.ts'
import type { Figure } from '../../figure.ts'
import { absent, compare, type Work } from '../../peers/compare.ts'
import { type Load, percentile } from '../../peers/load.ts'
import { registries } from '../../peers/registries.ts'
import { makeShelf } from '../../peers/shelf.ts'
import { openStand } from '../../peers/stand.ts'
import type { Measurable } from '../../server.ts'
import type { Site } from '../../site.ts'

const repository = 'local/bench'
const smallClients = 32
const smallBlobs = 400

export async function pushPeers(site: Site): Promise<Figure[]> {
  await using stand = await openStand(site, { shelves: [makeShelf([])], peers: registries })
  const pusher = new Pusher(site)
  const large = site.quick ? 64 * MiB : GiB
  const work = { rounds: 2, seconds: 0 }
  const works: readonly Work[] = [
    {
      ...work,
      what: `push of ${large / MiB} MiB in one PUT`,
      unit: 'bytes/s',
      goal: 1,
      load: ({ server }) => pusher.push(server, { size: large, blobs: 1, clients: 1 }),
    },
    {
      ...work,
      what: `pushes of 4 KiB, ${smallClients} clients`,
      unit: 'requests/s',
      goal: 2,
      load: ({ server }) => pusher.push(server, { size: 4 * KiB, blobs: smallBlobs, clients: smallClients }),
    },
  ]
  const figures: Figure[] = []
  for (const each of works) figures.push(...(await compare(stand, each)))
  return [...figures, ...absent(stand)]
}

interface Pushing {
  size: number
  blobs: number
  clients: number
}

/** No two of its blobs are alike. */
class Pusher {
  readonly #site: Site
  #seed = 0

  constructor(site: Site) {
    this.#site = site
  }

  /** Begins with nothing left to be written to the disk. */
  async push({ url }: Measurable, { size, blobs, clients }: Pushing): Promise<Load> {
    execFileSync('sync')
    const specs = Array.from({ length: blobs }, () => ({ seed: this.#nextSeed(), size }))
    const ask = { url, repository, specs, clients, way: 'session' as const }
    const { pushes, seconds, busy } = await this.#site.client.call('push', ask)
    const tookMs = pushes.map(({ startedMs, endedMs }) => endedMs - startedMs).toSorted((a, b) => a - b)
    return {
      requests: blobs,
      bytes: blobs * size,
      seconds,
      p50Ms: percentile(tookMs, 0.5),
      p99Ms: percentile(tookMs, 0.99),
      longestMs: tookMs.at(-1) ?? Number.NaN,
      failed: pushes.filter(({ status }) => status !== 201).length,
      clientBusy: busy,
    }
  }

  #nextSeed(): number {
    this.#seed += 1
    return this.#seed + 1 // 1 is what the shelf holds
  }
}
