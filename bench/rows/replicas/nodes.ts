/** A cluster starts in front of three replicas: every node pulls every image, in an order of its own. */
import { GiB } from '../../content.ts'
import type { Figure } from '../../figure.ts'
import type { Exchange } from '../../origin.ts'
import { startGroup } from '../../replicas/group.ts'
import { registry, type Site } from '../../site.ts'
import { makeTrace, shuffled, type Trace } from '../../trace.ts'
import { imagesUnder, shelvesOf } from '../peers/node-start.ts'

const images = 40
const usualNodes = 300
/** What so many nodes are served in all. */
const usualBytes = 60 * GiB
/** As people who left the default have it. */
const fresh = '5m'

export async function clusterNodes(site: Site): Promise<Figure[]> {
  const nodes = site.nodes ?? (site.quick ? 6 : usualNodes)
  const trace = traceOf(nodes)
  const shelves = shelvesOf(trace)
  for (const { blobs, manifests } of shelves) {
    for (const { spec } of blobs) await site.origin.call('addBlob', spec)
    for (const { tag, body } of manifests)
      await site.origin.call('addManifest', { tag, body: body.toString() })
  }
  await using group = await startGroup(site, { shares: 'Redis and S3', fresh })
  const paths = imagesUnder(`/v2/${registry}`, shelves)
  const loads = await Promise.all(
    group.layovers.map(({ url }, place) => {
      const own = trace.nodes.filter((_, node) => node % group.layovers.length === place)
      return site.client.call('replay', { url, images: paths, nodes: own })
    }),
  )
  const log = await site.origin.call('takeLog', undefined)
  const total = (key: 'bytes' | 'requests' | 'failed') => loads.reduce((all, load) => all + load[key], 0)
  const seconds = Math.max(...loads.map(load => load.seconds))
  return [
    {
      figure: `${nodes} nodes, ${images} images: pulls that failed`,
      goal: '0',
      measured: `${total('failed')} of ${total('requests')}; ${(total('bytes') / GiB).toFixed(1)} GiB to the nodes in ${seconds.toFixed(1)} s`,
      reached: total('failed') === 0,
    },
    ...cost(log, { blobs: new Set(shelves.flatMap(({ blobs }) => blobs.map(({ digest }) => digest))).size }),
  ]
}

function cost(log: readonly Exchange[], { blobs }: { blobs: number }): Figure[] {
  const asked = (path: string, method: string) =>
    log.filter(exchange => exchange.method === method && exchange.path.includes(path))
  const [gets, manifests] = [asked('/blobs/', 'GET'), asked('/manifests/', 'GET')]
  const perDigest = Map.groupBy(gets, ({ digest }) => digest)
  const most = Math.max(...[...perDigest.values()].map(({ length }) => length))
  return [
    {
      figure: '  GETs of blobs upstream',
      goal: 'each digest once',
      measured: `${gets.length} of ${perDigest.size} digests, at most ${most} of one`,
      reached: gets.length === blobs && perDigest.size === blobs,
    },
    {
      figure: '  GETs of manifests upstream',
      goal: `${images}, one of each`,
      measured: `${manifests.length}, and ${asked('/manifests/', 'HEAD').length} HEADs of tags`,
      reached: manifests.length === images,
    },
  ]
}

/** Layers are larger or smaller by one factor, so that fewer nodes are served as much each. */
function traceOf(nodes: number): Trace {
  const { sizes, images: made } = makeTrace({ seed: 1, nodes: 0, images, imagesPerNode: 0 })
  const used = new Set(made.flatMap(({ config, layers }) => [config, ...layers]))
  const bytes = [...used].reduce((total, place) => total + (sizes[place] ?? 0), 0)
  const factor = usualBytes / usualNodes / bytes
  return {
    sizes: sizes.map(size => Math.round(size * factor)),
    images: made,
    nodes: Array.from({ length: nodes }, (_, node) => shuffled([...made.keys()], node)),
  }
}
