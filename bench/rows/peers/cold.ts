/** What is not here yet, through Layover and through others that cache a registry: one reader, and many at once. */
import type { Transfer } from '../../bulk.ts'
import { GiB, MiB } from '../../content.ts'
import type { Figure } from '../../figure.ts'
import { absent, compare, type Work } from '../../peers/compare.ts'
import type { Load } from '../../peers/load.ts'
import { openMirrors, settles } from '../../peers/mirrors.ts'
import { ours, type Stall } from '../../peers/stand.ts'
import type { Site } from '../../site.ts'

const crowd = { readers: 50, size: 50 * MiB, rate: 100 * MiB }

/** Nothing holds upstream back. Twice its time is half its rate. */
export async function coldPeers(site: Site): Promise<Figure[]> {
  const size = site.quick ? 64 * MiB : GiB
  await using stand = await openMirrors(site)
  const work: Work = {
    what: `cold ${size / MiB} MiB, upstream unbounded, all on two cores`,
    unit: 'bytes/s',
    goal: 0.5,
    rounds: 2,
    seconds: 0,
    load: stall => readCold(site, stall, size),
  }
  return [...(await compare(stand, work)), ...absent(stand)]
}

async function readCold(site: Site, { server, base }: Stall, size: number): Promise<Load> {
  const blob = await site.addBlob(size)
  const transfer = await site.read(`${server.url}${base}/blobs/${blob.digest}`, blob)
  await settles(server)
  const tookMs = transfer.endedMs - transfer.startedMs
  return {
    requests: 1,
    bytes: transfer.bytes,
    seconds: tookMs / 1000,
    p50Ms: tookMs,
    p99Ms: tookMs,
    longestMs: tookMs,
    failed: transfer.right ? 0 : 1,
    clientBusy: Number.NaN,
  }
}

/** Upstream gives what a busy link does; it is asked once, or once for each reader. */
export async function herdPeers(site: Site): Promise<Figure[]> {
  await using stand = await openMirrors(site)
  await site.origin.call('shape', crowd.rate)
  const figures: Figure[] = []
  for (const stall of stand.stalls.slice(1)) figures.push(await herdFigure(site, stall))
  return [...figures, ...absent(stand)]
}

async function herdFigure(site: Site, { name, server, base }: Stall): Promise<Figure> {
  const { readers, size, rate } = crowd
  const blob = await site.addBlob(size)
  const url = `${server.url}${base}/blobs/${blob.digest}`
  const transfers = await site.client.call('bulk', { url, spec: blob.spec, readers })
  await settles(server)
  const { bytes } = await site.upstreamCost(blob.digest)
  const wrong = transfers.filter(({ right }) => !right).length
  const copies = bytes / size
  const seconds = Math.max(...transfers.map(endedAfter)) / 1000
  const firstByte = Math.max(...transfers.map(firstByteAfter)) / 1000
  return {
    figure: `${readers} at once, cold ${size / MiB} MiB, upstream ${rate / MiB} MiB/s: ${name}`,
    goal: name === ours ? '1 upstream copy' : '',
    measured: `${copies.toFixed(2)} upstream copies; all done in ${seconds.toFixed(2)} s (upstream needs ${(size / rate).toFixed(1)} s); latest first byte ${firstByte.toFixed(2)} s; ${wrong} bodies not right`,
    reached: name === ours ? copies <= 1.005 && wrong === 0 : undefined,
  }
}

function endedAfter({ startedMs, endedMs }: Transfer): number {
  return endedMs - startedMs
}

function firstByteAfter({ startedMs, firstByteMs = Number.POSITIVE_INFINITY }: Transfer): number {
  return firstByteMs - startedMs
}
