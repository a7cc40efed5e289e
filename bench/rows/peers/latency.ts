/** How long a manifest takes while the server has other work: large pulls on the same core, and readers that stall. */
import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { GiB, MiB } from '../../content.ts'
import type { Figure } from '../../figure.ts'
import { absent } from '../../peers/compare.ts'
import type { Load } from '../../peers/load.ts'
import { accept, makeShelf } from '../../peers/shelf.ts'
import { clientCore, openStand, ours, type Stall } from '../../peers/stand.ts'
import { wrk } from '../../peers/wrk.ts'
import type { Site } from '../../site.ts'

const bulkReaders = 8
const bulkSeconds = 6
const askingSeconds = 4
const stalledReaders = 500
const settleMs = 3_000
const pageBytes = 4096
const goals = { underLoadMs: 25, stalledMs: 30, stalledBytes: 200 * MiB }

/** One asker, who is not held up by the readers' client more than its core can help: compare with nginx. */
export async function underLoad(site: Site): Promise<Figure[]> {
  const shelf = makeShelf([GiB])
  await using stand = await openStand(site, { shelves: [shelf] })
  const figures: Figure[] = []
  for (const stall of stand.stalls) {
    await askManifest(stall, 1) // warm
    const alone = await askManifest(stall, 1)
    const url = `${stall.server.url}${stall.base}/blobs/${shelf.blobs.at(-1)?.digest}`
    const pulling = site.client.call('drain', {
      url,
      connections: bulkReaders,
      seconds: site.seconds(bulkSeconds),
    })
    await pause(500)
    const busy = await askManifest(stall, site.seconds(askingSeconds))
    const { bytes, seconds } = await pulling
    figures.push({
      figure: `manifest, ${bulkReaders} readers of 1 GiB meanwhile, p99: ${stall.name}`,
      goal: stall.name === ours ? `≤ ${goals.underLoadMs} ms` : '',
      measured: `${latencies(busy)}; alone p99 ${alone.p99Ms.toFixed(2)} ms; the readers ${(bytes / 1e9 / seconds).toFixed(2)} GB/s`,
      reached: stall.name === ours ? isWithin(busy, goals.underLoadMs) : undefined,
    })
  }
  return [...figures, ...absent(stand)]
}

export async function stalled(site: Site): Promise<Figure[]> {
  const shelf = makeShelf([200 * MiB])
  await using stand = await openStand(site, { shelves: [shelf] })
  const figures: Figure[] = []
  for (const stall of stand.stalls)
    figures.push(...(await stalledFigures(site, stall, shelf.blobs.at(-1)?.digest)))
  return [...figures, ...absent(stand)]
}

async function stalledFigures(site: Site, stall: Stall, digest: string | undefined): Promise<Figure[]> {
  await askManifest(stall, 1)
  const idle = await stall.server.memoryBytes()
  const buffersBefore = socketBufferBytes()
  const url = `${stall.server.url}${stall.base}/blobs/${digest}`
  const connected = await site.client.call('stall', { url, readers: stalledReaders })
  await pause(settleMs)
  const busy = await askManifest(stall, 2)
  const { resident, proportional } = await stall.server.memoryBytes()
  const buffers = socketBufferBytes() - buffersBefore
  await site.client.call('letGo', undefined)
  await pause(settleMs)
  const isOurs = stall.name === ours
  return [
    {
      figure: `${connected} stalled readers of 200 MiB, memory: ${stall.name}`,
      goal: isOurs ? '≤ 200 MiB' : '',
      measured: `PSS ${mebibytes(proportional)}, RSS ${mebibytes(resident)}; before ${mebibytes(idle.proportional)}; socket buffers of both ends ${mebibytes(buffers)}`,
      reached: isOurs ? resident <= goals.stalledBytes : undefined,
    },
    {
      figure: `  a manifest meanwhile, p99: ${stall.name}`,
      goal: isOurs ? `≤ ${goals.stalledMs} ms` : '',
      measured: latencies(busy),
      reached: isOurs ? isWithin(busy, goals.stalledMs) : undefined,
    },
  ]
}

async function askManifest({ name, server, base }: Stall, seconds: number): Promise<Load> {
  const url = `${server.url}${base}/manifests/kept`
  const load = await wrk({ url, connections: 1, seconds, cores: clientCore, headers: accept })
  if (load.failed > 0) throw new Error(`${load.failed} of ${load.requests} answers of ${name} were not right`)
  return load
}

function latencies({ p50Ms, p99Ms, longestMs, requests, seconds }: Load): string {
  if (requests === 0) return `no answer in ${seconds.toFixed(0)} s`
  return `${p99Ms.toFixed(2)} ms; p50 ${p50Ms.toFixed(2)}, longest ${longestMs.toFixed(1)} ms of ${requests}`
}

function isWithin({ requests, p99Ms }: Load, limitMs: number): boolean {
  return requests > 0 && p99Ms <= limitMs
}

/** Of the whole machine. */
function socketBufferBytes(): number {
  const [, pages] = /^TCP:.* mem (\d+)/m.exec(readFileSync('/proc/net/sockstat', 'utf8')) ?? []
  return Number(pages) * pageBytes
}

function mebibytes(bytes: number): string {
  return `${(bytes / MiB).toFixed(0)} MiB`
}
