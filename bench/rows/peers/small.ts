/** Cached manifests and small blobs, on plain connections and on TLS. */
import { GiB, MiB } from '../../content.ts'
import type { Figure } from '../../figure.ts'
import { absent, compare, type Work } from '../../peers/compare.ts'
import type { Load } from '../../peers/load.ts'
import { accept, makeShelf, type Shelf, type ShelvedBlob } from '../../peers/shelf.ts'
import { clientCore, openStand, type Stall } from '../../peers/stand.ts'
import { type WrkAsk, wrk } from '../../peers/wrk.ts'
import type { Site } from '../../site.ts'
import { rangeOf } from './large.ts'

const connections = 32
const rounds = 6
const seconds = 1

export async function manifests(site: Site): Promise<Figure[]> {
  const shelf = makeShelf([])
  await using stand = await openStand(site, { shelves: [shelf], proxied: true })
  const figures: Figure[] = []
  for (const work of [...manifestWorks(shelf), heads(site, shelf)])
    figures.push(...(await compare(stand, work)))
  return [...figures, ...absent(stand)]
}

export async function smallBlobs(site: Site): Promise<Figure[]> {
  const shelf = makeShelf([])
  await using stand = await openStand(site, { shelves: [shelf], proxied: true })
  return [...(await compare(stand, smallBlob(shelf))), ...absent(stand)]
}

/** wrk for large bodies too: nothing else here decrypts as cheaply. */
export async function secure(site: Site): Promise<Figure[]> {
  const shelf = makeShelf([MiB, GiB])
  const [, mebibyte, gibibyte] = shelf.blobs
  await using stand = await openStand(site, { shelves: [shelf], secure: true })
  const large = (what: string, blob: ShelvedBlob | undefined, ask: Partial<WrkAsk>): Work => ({
    what,
    unit: ask.headers ? 'requests/s' : 'bytes/s',
    goal: 1,
    rounds: 3,
    seconds: 2,
    load: withWrk(`/blobs/${blob?.digest}`, ask),
  })
  const works = [
    ...manifestWorks(shelf),
    heads(site, shelf),
    smallBlob(shelf),
    large('blob 1 MiB, 8 connections', mebibyte, { connections: 8 }),
    { ...large('blob 1 GiB, one reader', gibibyte, { connections: 1 }), seconds: 5 },
    large(rangeOf.what, gibibyte, { connections: 8, headers: rangeOf.headers }),
  ]
  const figures: Figure[] = []
  for (const work of works)
    figures.push(...(await compare(stand, { ...work, what: `TLS ${work.what}`, goal: 1 })))
  return [...figures, ...absent(stand)]
}

function manifestWorks({ manifests: [manifest] }: Shelf): Work[] {
  const work = { unit: 'requests/s', goal: 0.9, rounds, seconds } as const
  const [byTag, byDigest] = [`/manifests/${manifest?.tag}`, `/manifests/${manifest?.digest}`]
  return [
    { ...work, what: 'manifest by tag, 32 connections', load: withWrk(byTag, { headers: accept }) },
    { ...work, what: 'manifest by digest, 32 connections', load: withWrk(byDigest, { headers: accept }) },
  ]
}

function heads(site: Site, { manifests: [manifest] }: Shelf): Work {
  return {
    what: 'HEAD of a manifest by tag, 32 connections',
    unit: 'requests/s',
    goal: 0.9,
    rounds,
    seconds,
    load: ({ server, base }, duration) => {
      const url = `${server.url}${base}/manifests/${manifest?.tag}`
      return site.client.call('drain', {
        url,
        connections,
        seconds: duration,
        headers: accept,
        method: 'HEAD',
      })
    },
  }
}

function smallBlob({ blobs: [blob] }: Shelf): Work {
  return {
    what: 'blob 4 KiB, 32 connections',
    unit: 'requests/s',
    goal: 0.85,
    rounds,
    seconds,
    load: withWrk(`/blobs/${blob?.digest}`, {}),
  }
}

function withWrk(path: string, ask: Partial<WrkAsk>) {
  return ({ server, base }: Stall, duration: number): Promise<Load> =>
    wrk({ connections, cores: clientCore, ...ask, url: server.url + base + path, seconds: duration })
}
