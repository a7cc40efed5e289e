/** A cluster starts: hundreds of nodes pull tens of images that share layers, all at once. */
import { GiB } from '../../content.ts'
import type { Figure } from '../../figure.ts'
import { absent, compare, type Work } from '../../peers/compare.ts'
import { type Shelf, shelvedBlob, shelvedManifest } from '../../peers/shelf.ts'
import { clientCore, openStand, serverCore } from '../../peers/stand.ts'
import type { ReplayAsk } from '../../replay.ts'
import { pin } from '../../server.ts'
import { registry, type Site } from '../../site.ts'
import { makeTrace, type Trace, type TraceOptions } from '../../trace.ts'

const usualScale = { seed: 1, nodes: 200, images: 30, imagesPerNode: 8 }

function scaleOf({ quick }: Site): TraceOptions {
  return quick ? { ...usualScale, nodes: 20 } : usualScale
}

export async function nodeStart(site: Site): Promise<Figure[]> {
  const scale = scaleOf(site)
  const trace = makeTrace(scale)
  const shelves = shelvesOf(trace)
  await using stand = await openStand(site, { shelves })
  const images = imagesUnder('/v2', shelves)
  const work: Work = {
    what: `${scale.nodes} nodes start, ${scale.images} images`,
    unit: 'bytes/s',
    rounds: 2,
    seconds: 0,
    load: ({ server }) => site.client.call('replay', { url: server.url, images, nodes: trace.nodes }),
  }
  return [...(await compare(stand, work)), ...absent(stand)]
}

/** Nothing is here yet: each blob comes from upstream once, whoever asks first. */
export async function nodeStartCold(site: Site): Promise<Figure[]> {
  const scale = scaleOf(site)
  const trace = makeTrace(scale)
  const shelves = shelvesOf(trace)
  for (const { blobs, manifests } of shelves) {
    for (const { spec } of blobs) await site.origin.call('addBlob', spec)
    for (const { tag, body } of manifests)
      await site.origin.call('addManifest', { tag, body: body.toString() })
  }
  pin(site.client.pid, clientCore)
  pin(site.origin.pid, clientCore)
  await using layover = await site.startLayover({ cores: serverCore })
  const images = imagesUnder(`/v2/${registry}`, shelves)
  const ask: ReplayAsk = { url: layover.url, images, nodes: trace.nodes }
  const load = await site.client.call('replay', ask)
  const log = await site.origin.call('takeLog', undefined)
  const sent = log.flatMap(exchange => exchange.sent).reduce((total, { bytes }) => total + bytes, 0)
  const copies = sent / uniqueBytes(shelves, trace)
  return [
    {
      figure: `${scale.nodes} nodes start, ${scale.images} images, nothing cached: upstream bytes`,
      goal: '≤ 1.01',
      measured: `${copies.toFixed(3)}; ${load.seconds.toFixed(1)} s, ${(load.bytes / GiB).toFixed(1)} GiB to the nodes; an image p50 ${(load.p50Ms / 1000).toFixed(2)} p99 ${(load.p99Ms / 1000).toFixed(2)} s; ${load.failed} of ${load.requests} pulls failed`,
      reached: copies <= 1.01 && load.failed === 0,
    },
  ]
}

/** A repository for each image. */
export function shelvesOf({ sizes, images }: Trace): Shelf[] {
  const blobs = sizes.map((size, seed) => shelvedBlob({ seed: 1000 + seed, size }))
  const at = (places: readonly number[]) => places.flatMap(place => blobs[place] ?? [])
  return images.map(({ config, layers }, image) => {
    const [own, of] = [at([config]), at(layers)]
    const [first] = own
    const tag = `image-${image}`
    const manifest = shelvedManifest(tag, first && { config: first, layers: of })
    return { repository: `local/start/app-${image}`, blobs: [...own, ...of], manifests: [manifest] }
  })
}

export function imagesUnder(base: string, shelves: readonly Shelf[]) {
  return shelves.flatMap(({ repository, blobs, manifests: [manifest] }) => {
    if (!manifest) return []
    const path = `${base}/${repository}`
    return {
      tag: `${path}/manifests/${manifest.tag}`,
      digest: `${path}/manifests/${manifest.digest}`,
      blobs: blobs.map(({ digest }) => `${path}/blobs/${digest}`),
    }
  })
}

/** Of the images that any node pulls. */
function uniqueBytes(shelves: readonly Shelf[], { nodes }: Trace): number {
  const pulled = new Map<string, number>()
  for (const place of new Set(nodes.flat())) {
    for (const { digest, spec } of shelves[place]?.blobs ?? []) pulled.set(digest, spec.size)
    for (const { digest, body } of shelves[place]?.manifests ?? []) pulled.set(digest, body.length)
  }
  return [...pulled.values()].reduce((total, size) => total + size, 0)
}
