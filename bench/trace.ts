/** What happens when a cluster starts: nodes that pull images which share layers. The same seed makes the same trace. */
import { KiB, MiB } from './content.ts'

export interface TraceOptions {
  seed: number
  nodes: number
  images: number
  /** At most; a node may be given an image twice and then pulls it once. */
  imagesPerNode: number
}

export interface Trace {
  /** Bytes of every blob. */
  sizes: readonly number[]
  /** Places in `sizes`. */
  images: readonly { config: number; layers: readonly number[] }[]
  /** Places in `images`, in the order in which a node pulls them. */
  nodes: readonly (readonly number[])[]
}

/** A base system, a runtime on it, and what is an image's own: many small layers and a few large ones; a quarter of usual sizes. */
const bases = [7 * MiB, 3 * MiB, MiB, 768 * KiB]
const runtimes = [4 * MiB, 2 * MiB, 1536 * KiB, 512 * KiB, 175 * KiB, 75 * KiB]
const own = [KiB, 3 * KiB, 15 * KiB, 60 * KiB, 250 * KiB, 750 * KiB, 2 * MiB]
const configBytes = 7 * KiB
/** Of the last block of a blob, by which it differs from others. */
const leastBytes = 8

export function makeTrace({ seed, nodes, images, imagesPerNode }: TraceOptions): Trace {
  const random = randomFrom(seed)
  const pick = (count: number) => Math.floor(random() * count)
  const sizes: number[] = [...bases, ...runtimes]
  const add = (size: number) => sizes.push(size) - 1
  const made = Array.from({ length: images }, () => {
    const layers = [pick(bases.length), bases.length + pick(runtimes.length)]
    for (let layer = 2 + pick(4); layer > 0; layer -= 1)
      layers.push(add((own[pick(own.length)] ?? KiB) + leastBytes + pick(KiB)))
    return { config: add(configBytes + pick(KiB)), layers }
  })
  // Some images run everywhere, others on a few nodes.
  const popular = () => Math.floor(images * random() ** 2)
  const pulls = Array.from({ length: nodes }, () => [
    ...new Set(Array.from({ length: imagesPerNode }, popular)),
  ])
  return { sizes, images: made, nodes: pulls }
}

/** The same order for the same seed. */
export function shuffled<T>(items: readonly T[], seed: number): T[] {
  const random = randomFrom(seed)
  return items
    .map(item => ({ item, at: random() }))
    .toSorted((one, other) => one.at - other.at)
    .map(({ item }) => item)
}

/** Mulberry32: small, and the same on every machine. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
