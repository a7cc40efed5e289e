/** Nodes that replay a trace as containerd pulls: HEAD by tag, manifest by digest, then config and layers, three at a time. */
import { type Answer, Connection, loadOf, requestOf } from './drain.ts'
import { nowMs } from './monotonic.ts'
import type { Load } from './peers/load.ts'
import { accept } from './peers/shelf.ts'

const atOnce = 3

/** Paths of one image. */
export interface ImagePaths {
  tag: string
  digest: string
  blobs: readonly string[]
}

export interface ReplayAsk {
  url: string
  images: readonly ImagePaths[]
  /** Places in `images`. */
  nodes: readonly (readonly number[])[]
}

/** `requests` are images: latencies are those of whole pulls. */
export async function replay({ url, images, nodes }: ReplayAsk): Promise<Load> {
  const begun = { startedMs: nowMs(), cpu: process.cpuUsage() }
  const pulls = await Promise.all(nodes.map(places => startNode(url, places, images)))
  return loadOf(pulls.flat(), begun)
}

async function startNode(
  url: string,
  places: readonly number[],
  images: readonly ImagePaths[],
): Promise<Answer[]> {
  using connections = new DisposableStack()
  const lanes = Array.from({ length: atOnce }, () => connections.use(new Connection(url)))
  const here = new Set<string>()
  const pulls: Answer[] = []
  for (const place of places) {
    const image = images[place]
    if (image) pulls.push(await pull({ url, lanes, here }, image))
  }
  return pulls
}

interface Node {
  url: string
  lanes: readonly Connection[]
  /** Names of the blobs that it has. */
  here: Set<string>
}

async function pull({ url, lanes, here }: Node, { tag, digest, blobs }: ImagePaths): Promise<Answer> {
  const startedMs = nowMs()
  const answers: Answer[] = []
  for (const lane of lanes.slice(0, 1))
    answers.push(
      await lane.ask(requestOf(url + tag, accept, 'HEAD'), 'HEAD'),
      await lane.ask(requestOf(url + digest, accept)),
    )
  const missing = blobs.filter(blob => !here.has(nameOf(blob)))
  for (const blob of missing) here.add(nameOf(blob))
  const waiting = missing.values()
  await Promise.all(
    lanes.map(async lane => {
      for (const blob of waiting) answers.push(await lane.ask(requestOf(url + blob)))
    }),
  )
  return {
    status: answers.every(({ status }) => status === 200) ? 200 : 0,
    bytes: answers.reduce((total, { bytes }) => total + bytes, 0),
    tookMs: nowMs() - startedMs,
  }
}

/** A layer is the same in every repository. */
function nameOf(blob: string): string {
  return blob.slice(blob.lastIndexOf('/') + 1)
}
