/** Who pulls what and when, down to the requests that reach the cache: what a client has it does not ask for. */
import { Catalogue, type CatalogueOptions, dayMs, type Repository, type Version } from './catalogue.ts'
import { Random, Zipf } from './random.ts'

export interface Trace {
  /** Bytes of every blob. */
  readonly sizes: readonly number[]
  /** In order of time. */
  readonly pulls: readonly Pull[]
  /** Bytes of all blobs that are ever asked for. */
  readonly footprintBytes: number
  readonly requests: number
}

/** One image by one client. */
export interface Pull {
  readonly atMs: number
  /** Places in `sizes`. */
  readonly asked: readonly number[]
  /** Config and layers that the client has. */
  readonly had: readonly number[]
}

/** A machine that pulls, and forgets layers that it has not started anything from for so long. */
export interface Client {
  readonly keepMs: number
  /** Place of the blob → when it was last started from. */
  readonly layers: Map<number, number>
}

interface Start {
  readonly atMs: number
  readonly client: Client
  readonly version: Version
}

export interface ShapeOptions extends CatalogueOptions {
  readonly seed: number
  /** Of the popularity of images. */
  readonly exponent: number
}

const hourMs = dayMs / 24
/** Of starts of an image that is there, those that ask for its manifest all the same, since its tag may have moved. */
const askShare = 0.4

/** What a shape is made of: activities, each of which starts containers. */
export class Scene {
  readonly random: Random
  readonly days: number
  readonly #catalogue: Catalogue
  readonly #popular: Zipf
  readonly #starts: Start[] = []

  constructor(options: ShapeOptions) {
    this.random = new Random(options.seed)
    this.days = options.days
    this.#catalogue = new Catalogue(this.random, options)
    this.#popular = new Zipf(this.random, options.repositories, options.exponent)
  }

  get repositories(): readonly Repository[] {
    return this.#catalogue.repositories
  }

  client(keepDays: number): Client {
    return { keepMs: keepDays * dayMs, layers: new Map() }
  }

  clients(count: number, keepDays: number): Client[] {
    return Array.from({ length: count }, () => this.client(keepDays))
  }

  start(client: Client, version: Version | undefined, atMs: number): void {
    if (version && atMs >= 0 && atMs < this.days * dayMs) this.#starts.push({ atMs, client, version })
  }

  /** Moments, so many a day on average: three times as many in working hours as at night, few on weekends. */
  *moments(aDay: number): Generator<number> {
    for (let atMs = 0; ; ) {
      atMs += this.random.exponential(dayMs / (aDay * 2))
      if (atMs >= this.days * dayMs) return
      if (this.random.chance(rhythm(atMs))) yield atMs
    }
  }

  /** An image that is in use then, the popular ones most often. */
  popular(atMs: number): Repository | undefined {
    for (let tries = 0; tries < 50; tries += 1) {
      const repository = this.repositories[this.#popular.draw()]
      if (repository && repository.bornMs <= atMs && atMs < repository.diesMs) return repository
    }
    return undefined
  }

  current(repository: Repository | undefined, atMs: number): Version | undefined {
    return repository?.versions.findLast(({ releasedMs }) => releasedMs <= atMs)
  }

  /** Some version of before. */
  older(repository: Repository | undefined, atMs: number): Version | undefined {
    const released = repository?.versions.filter(({ releasedMs }) => releasedMs <= atMs) ?? []
    return released[Math.max(0, released.length - 1 - Math.floor(this.random.exponential(3)))]
  }

  build(repository: Repository, atMs: number): Version {
    return this.#catalogue.build(repository, atMs)
  }

  trace(): Trace {
    const asked = new Set<number>()
    let requests = 0
    const pulls = this.#starts
      .sort((a, b) => a.atMs - b.atMs)
      .map(start => pullOf(start, this.random.chance(askShare)))
    for (const pull of pulls) {
      for (const blob of pull.asked) asked.add(blob)
      requests += pull.asked.length
    }
    const { sizes } = this.#catalogue
    const footprintBytes = [...asked].reduce((total, blob) => total + (sizes[blob] ?? 0), 0)
    return { sizes, pulls, footprintBytes, requests }
  }
}

/** Relative to the busiest hour. */
function rhythm(atMs: number): number {
  const day = Math.floor(atMs / dayMs) % 7
  const hour = Math.floor(atMs / hourMs) % 24
  if (day >= 5) return 0.2
  return hour >= 8 && hour < 18 ? 0.9 : 0.3
}

function pullOf({ atMs, client, version }: Start, asksAlways: boolean): Pull {
  const asked: number[] = []
  const had: number[] = []
  for (const blob of version.blobs) {
    const lastMs = client.layers.get(blob)
    if (lastMs === undefined || atMs - lastMs > client.keepMs) asked.push(blob)
    else had.push(blob)
    client.layers.set(blob, atMs)
  }
  if (asked.length > 0 || asksAlways) asked.unshift(...version.manifests)
  return { atMs, asked, had }
}
