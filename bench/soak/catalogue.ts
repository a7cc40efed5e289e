/** The images of a run: the same for origin and clients by seed, with versions that supersede each other. */
import { createHash } from 'node:crypto'
import { Content, type ContentSpec, KiB, MiB } from '../content.ts'
import { Random } from '../eviction/random.ts'

const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const configType = 'application/vnd.oci.image.config.v1+json'
const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip'
const baseCount = 8
const runtimeCount = 16
const smallestBytes = 32
const largestBytes = 32 * MiB

export interface Manifest {
  readonly digest: string
  readonly body: string
  /** Config and layers by digest. */
  readonly blobs: ReadonlyMap<string, ContentSpec>
}

interface Image {
  readonly shared: readonly ContentSpec[]
  /** Of the layers that each version has for itself. */
  readonly sizes: readonly number[]
}

export class Catalogue {
  /** Bytes of all first versions. */
  readonly bytes: number
  readonly #images: readonly Image[]

  /** @param bytes that the first versions have at least */
  constructor({ seed, bytes }: { seed: number; bytes: number }) {
    const random = new Random(seed)
    const layers = (count: number, { first, medianBytes }: { first: number; medianBytes: number }) =>
      Array.from({ length: count }, (_, at) => ({ seed: first + at, size: sizeOf(random, medianBytes, 1) }))
    const bases = layers(baseCount, { first: 1, medianBytes: 5 * MiB })
    const runtimes = layers(runtimeCount, { first: 101, medianBytes: 3 * MiB })
    const images: Image[] = []
    let total = [...bases, ...runtimes].reduce((sum, { size }) => sum + size, 0)
    while (total < bytes) {
      const shared = [bases, runtimes].flatMap(
        all => all[Math.floor(random.uniform() ** 2 * all.length)] ?? [],
      )
      const sizes = Array.from({ length: random.integer(2, 5) }, () => sizeOf(random, 300 * KiB, 1.8))
      images.push({ shared, sizes })
      total += sizes.reduce((sum, size) => sum + size, 0)
    }
    this.bytes = total
    this.#images = images
  }

  get count(): number {
    return this.#images.length
  }

  nameOf(image: number): string {
    return `team/app-${image}`
  }

  /** Bytes that a version does not share. */
  ownBytes(image: number): number {
    return (this.#images[image]?.sizes ?? []).reduce((sum, size) => sum + size, 0)
  }

  manifest(image: number, version: number): Manifest {
    const { shared = [], sizes = [] } = this.#images[image] ?? {}
    const own = sizes.map((size, at) => ({ seed: 1_000 + (image * 100_000 + version) * 10 + at, size }))
    const config = { seed: -(1 + image * 100_000 + version), size: 1_000 + (image % 3_000) }
    return manifestOf([config, ...shared, ...own], { image: `${image}`, version: `${version}` })
  }
}

/** An image of a config and layers, all of pseudo-random bytes. */
export function manifestOf(
  [config = { seed: 0, size: smallestBytes }, ...layers]: readonly ContentSpec[],
  annotations: Readonly<Record<string, string>>,
): Manifest {
  const blobs = new Map<string, ContentSpec>()
  const descriptor = (mediaType: string, spec: ContentSpec) => {
    const digest = `sha256:${new Content(spec).sha256}`
    blobs.set(digest, spec)
    return { mediaType, digest, size: spec.size, annotations: { seed: `${spec.seed}` } }
  }
  const body = JSON.stringify({
    schemaVersion: 2,
    mediaType: manifestType,
    config: descriptor(configType, config),
    layers: layers.map(spec => descriptor(layerType, spec)),
    annotations,
  })
  return { digest: sha256(body), body, blobs }
}

export function sha256(bytes: string | Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

function sizeOf(random: Random, medianBytes: number, sigma: number): number {
  const bytes = Math.round(random.logNormal(medianBytes, sigma))
  return Math.min(largestBytes, Math.max(smallestBytes, bytes))
}
