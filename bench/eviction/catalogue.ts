/**
 * What there is to pull: images built on runtimes built on base systems, each published anew from time to time, so that
 * versions share layers and supersede each other.
 *
 * Assumed, where nothing better is known:
 * - sizes are log-normal. In the part of the traces of IBM's registries that is public as a sample (999 requests, 554
 *   blobs) half are below 15 KB, a fifth above 11 MB, the largest has 690 MB; here too, with images of GPU and
 *   data-science work on top, whose layers reach gigabytes;
 * - base systems are published monthly, runtimes every three weeks and whenever their base system is, images at paces
 *   that differ by orders of magnitude;
 * - a new version keeps the layers of its dependencies in two cases of three as long as what it is built on is the same;
 * - images come up and fall out of use: each lives for months, and its popularity has nothing to do with its age.
 */
import { GiB, KiB, MiB } from '../content.ts'
import type { Random } from './random.ts'
import { Zipf } from './random.ts'

export const dayMs = 86_400_000

export interface Version {
  readonly releasedMs: number
  /** Places in `sizes`: the index if there is one, and the manifest. */
  readonly manifests: readonly number[]
  /** Places in `sizes`: the config and the layers. */
  readonly blobs: readonly number[]
}

/** Oldest first. */
export interface Repository {
  readonly bornMs: number
  readonly diesMs: number
  readonly versions: readonly Version[]
  readonly builds: Builds
}

interface Published {
  readonly releasedMs: number
  readonly layers: readonly number[]
}

/** What the builds of an image have in common. */
interface Builds {
  readonly on: readonly Published[]
  /** Of GPU and data-science work. */
  readonly isHeavy: boolean
  readonly hasIndex: boolean
}

export interface CatalogueOptions {
  readonly days: number
  readonly repositories: number
  /** Of the images: those that the site builds itself. */
  readonly ownShare: number
  /** Mean. */
  readonly lifeDays: number
}

const baseSystems = 8
const runtimes = 20
const baseDays = 30
const runtimeDays = 21
/** Median of days between the versions of an image that the site uses: its own, and those of others. */
const ownDays = 4
const othersDays = 30
const heavyShare = 0.03
/** Before the trace begins: there are versions of before. */
const historyMs = 90 * dayMs
const most = 6 * GiB

export class Catalogue {
  /** Bytes of every blob. */
  readonly sizes: number[] = []
  readonly repositories: readonly Repository[]
  readonly #random: Random

  constructor(random: Random, options: CatalogueOptions) {
    this.#random = random
    const endMs = options.days * dayMs
    const bases = Array.from({ length: baseSystems }, () => this.#publish([], endMs, baseDays))
    const whichBase = new Zipf(random, baseSystems, 1)
    const stacks = Array.from({ length: runtimes }, () =>
      this.#publish(bases[whichBase.draw()] ?? [], endMs, runtimeDays),
    )
    const whichStack = new Zipf(random, runtimes, 0.8)
    const under = () => (random.chance(0.75) ? stacks[whichStack.draw()] : bases[whichBase.draw()]) ?? []
    this.repositories = Array.from({ length: options.repositories }, () =>
      this.#repository(random.chance(0.05) ? [] : under(), endMs, options),
    )
  }

  /** Built from a branch: in no timeline, nobody pulls it after its tests. */
  build({ builds, versions }: Repository, atMs: number): Version {
    const last = versions.findLast(({ releasedMs }) => releasedMs <= atMs)
    return this.#version(builds, atMs, this.#random.chance(0.8) ? last : undefined)
  }

  /** Of a base system if nothing is below. */
  #publish(below: readonly Published[], endMs: number, everyDays: number): Published[] {
    const own = this.#releases(-historyMs, endMs, everyDays)
    const times = [...own, ...below.map(({ releasedMs }) => releasedMs + dayMs / 2)].sort((a, b) => a - b)
    return times.map(releasedMs => {
      const layers = [...(latest(below, releasedMs)?.layers ?? [])]
      if (below.length === 0) layers.push(this.#blob(28 * MiB, 0.8))
      else
        for (let left = this.#random.integer(1, 4); left > 0; left -= 1) layers.push(this.#blob(4 * MiB, 2))
      return { releasedMs, layers }
    })
  }

  #repository(on: readonly Published[], endMs: number, options: CatalogueOptions): Repository {
    const random = this.#random
    const lifeMs = random.exponential(options.lifeDays) * dayMs
    const bornMs = random.uniform() * (endMs + lifeMs) - lifeMs
    const builds = { on, isHeavy: random.chance(heavyShare), hasIndex: random.chance(0.5) }
    const every = random.logNormal(random.chance(options.ownShare) ? ownDays : othersDays, 1)
    const from = Math.max(bornMs, -historyMs)
    const versions: Version[] = []
    for (const atMs of [from, ...this.#releases(from, Math.min(endMs, bornMs + lifeMs), every)])
      versions.push(this.#version(builds, atMs, versions.at(-1)))
    return { bornMs, diesMs: bornMs + lifeMs, versions, builds }
  }

  #version({ on, isHeavy, hasIndex }: Builds, releasedMs: number, before: Version | undefined): Version {
    const random = this.#random
    const weight = isHeavy ? 20 : 1
    const stack = latest(on, releasedMs)?.layers ?? []
    const kept = before && stack.every(layer => before.blobs.includes(layer)) && random.chance(0.67)
    const dependencies = kept
      ? before.blobs.slice(1 + stack.length, 3 + stack.length)
      : [this.#blob(12 * MiB * weight, 1.4), this.#blob(MiB * weight, 2.5)]
    const own = Array.from({ length: random.integer(1, 4) }, () => this.#blob(256 * KiB * weight, 3.3))
    const config = this.#blob(6 * KiB, 0.5)
    return {
      releasedMs,
      manifests: [...(hasIndex ? [this.#blob(2 * KiB, 0.5)] : []), this.#blob(2 * KiB, 0.5)],
      blobs: [config, ...stack, ...dependencies, ...own],
    }
  }

  #releases(fromMs: number, endMs: number, everyDays: number): number[] {
    const times: number[] = []
    for (let at = fromMs; ; ) {
      at += this.#random.exponential(everyDays * dayMs)
      if (at > endMs) return times
      times.push(at)
    }
  }

  #blob(median: number, sigma: number): number {
    const size = Math.round(this.#random.logNormal(median, sigma))
    return this.sizes.push(Math.min(most, Math.max(100, size))) - 1
  }
}

function latest<T extends { readonly releasedMs: number }>(all: readonly T[], atMs: number): T | undefined {
  return all.findLast(({ releasedMs }) => releasedMs <= atMs) ?? all[0]
}
