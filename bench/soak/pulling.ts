/** The pulling clients of a soak: nodes, browsers of listings, readers that are slow, idle or gone. */
import { setTimeout as pause } from 'node:timers/promises'
import { KiB, MiB } from '../content.ts'
import { Zipf } from '../eviction/random.ts'
import { nowMs } from '../monotonic.ts'
import type { Asker } from './asker.ts'

/** By popularity, the first most of all. */
const zipfExponent = 0.9
/** What a tag pointed at longer ago is stale: its freshness, one check, and a busy machine. */
const staleAfterMs = 15_000
const thinkMs = 40

export interface Mirrored {
  readonly registry: string
  readonly names: readonly string[]
  /** When each version of an image was published, by its number less one. */
  readonly publishedMs: readonly (readonly number[])[]
}

interface Described {
  readonly digest: string
  readonly size: number
  readonly annotations: { readonly seed: string }
}

export class Nodes {
  readonly #asker: Asker
  readonly #mirrored: Mirrored
  readonly #zipf: Zipf

  constructor(asker: Asker, mirrored: Mirrored) {
    this.#asker = asker
    this.#mirrored = mirrored
    this.#zipf = new Zipf(asker.random, mirrored.names.length, zipfExponent)
  }

  /** Pulls images until the end. */
  async run(): Promise<void> {
    while (!this.#asker.stopped.aborted) {
      await this.#pull()
      await think(this.#asker, thinkMs)
    }
  }

  /** Reads a large layer a little at a time, or stands still in it. */
  async dawdle(): Promise<void> {
    const { stopped, random } = this.#asker
    while (!stopped.aborted) {
      const { repository, blobs } = await this.#resolve()
      const largest = blobs.toSorted((a, b) => b.size - a.size)[0]
      if (!largest) await think(this.#asker, 1_000)
      else if (random.chance(0.5))
        await this.#asker.blob(repository, largest.digest, { size: largest.size, gapMs: 20 })
      else
        await this.#asker.leave(repository, largest.digest, {
          bytes: 64 * KiB,
          idleMs: random.exponential(10_000),
        })
    }
  }

  async browse(): Promise<void> {
    const { stopped, random } = this.#asker
    while (!stopped.aborted) {
      const { repository, blobs, digest } = await this.#resolve()
      const [blob] = blobs
      if (blob) await this.#asker.ask(`/v2/${repository}/blobs/${blob.digest}`, [200], { method: 'HEAD' })
      await this.#asker.ask(`/v2/${repository}/tags/list`, [200])
      if (digest) await this.#asker.ask(`/v2/${repository}/manifests/${digest}`, [200], { method: 'HEAD' })
      if (random.chance(0.2)) await this.#asker.ask('/v2/_catalog?n=100', [200])
      await think(this.#asker, 200)
    }
  }

  async #pull(): Promise<void> {
    const { random, tally } = this.#asker
    const { repository, blobs } = await this.#resolve()
    await Promise.all(
      blobs.map(async blob => {
        const { digest, size } = blob
        const how = random.uniform()
        if (how < 0.1 && size > 2 * MiB) return // the node has it
        if (how < 0.2)
          await this.#asker.range(repository, digest, { size, seed: Number(blob.annotations.seed) })
        else if (how < 0.25) await this.#asker.leave(repository, digest, { bytes: random.uniform() * size })
        else await this.#asker.blob(repository, digest, { size })
      }),
    )
    tally.pulls += 1
  }

  /** What an image's tag points at; no blobs where it did not come. */
  async #resolve(): Promise<{ repository: string; digest?: string; blobs: readonly Described[] }> {
    const { registry, names } = this.#mirrored
    const image = this.#zipf.draw()
    const repository = `${registry}/${names[image]}`
    const askedMs = nowMs()
    const answer = await this.#asker.manifest(repository, 'latest')
    if (!answer) return { repository, blobs: [] }
    const { config, layers, annotations } = JSON.parse(answer.body.toString()) as {
      config: Described
      layers: Described[]
      annotations: { image: string; version: string }
    }
    if (annotations.image !== String(image))
      this.#asker.wrong(`${repository}: image ${annotations.image} came`)
    const supersededMs = this.#mirrored.publishedMs[image]?.[Number(annotations.version)]
    if (supersededMs !== undefined && askedMs - supersededMs > staleAfterMs)
      this.#asker.wrong(
        `${repository}: version ${annotations.version} came ${askedMs - supersededMs} ms too late`,
      )
    const digest = String(answer.headers['docker-content-digest'])
    return { repository, digest, blobs: [config, ...layers] }
  }
}

export async function think({ random, stopped }: Asker, meanMs: number): Promise<void> {
  await pause(random.exponential(meanMs), undefined, { signal: stopped }).catch(() => {}) // the end
}
