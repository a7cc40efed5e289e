/** What a row runs on: an origin, clients, and as many Layovers with stores of their own as it starts. */
import { existsSync, rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Child } from './child.ts'
import type { calls as clientCalls } from './client.ts'
import type { ContentSpec } from './content.ts'
import { Layover, type LayoverOptions } from './layover.ts'
import { nowMs } from './monotonic.ts'
import type { Exchange, Fault, calls as originCalls } from './origin.ts'

/** The name under which clients ask Layover for what the origin holds. */
export const registry = 'origin.test'
const settleMs = 60_000

export interface Blob {
  readonly spec: ContentSpec
  readonly digest: string
  /** Below the URL of Layover. */
  readonly path: string
  /** At the origin itself. */
  readonly direct: string
}

export class Site implements AsyncDisposable {
  readonly origin = new Child<typeof originCalls>('origin.ts')
  readonly client = new Child<typeof clientCalls>('client.ts')
  readonly built: boolean
  /** One short round of everything: whether it works, not how fast it is. */
  readonly quick: boolean
  /** Of a cluster that starts; undefined: as many as the row says. */
  readonly nodes: number | undefined
  readonly #root: string
  readonly #port: Promise<number>
  readonly #remove = () => rmSync(this.#root, { recursive: true, force: true })
  #paths = 0
  #seed = 0

  private constructor(root: string, { built, quick, nodes }: SiteOptions) {
    this.#root = root
    process.on('exit', this.#remove)
    this.built = built
    this.quick = quick
    this.nodes = nodes
    this.#port = this.origin.call('listen', undefined)
  }

  /** @param parent folder on the disk that counts */
  static async open(parent: string, options: SiteOptions): Promise<Site> {
    return new Site(await mkdtemp(join(parent, 'layover-bench-')), options)
  }

  /** How often something is repeated. */
  rounds(usual: number): number {
    return this.quick ? 1 : usual
  }

  /** For how long. */
  seconds(usual: number): number {
    return this.quick ? Math.min(usual, 1) : usual
  }

  /** A path of its own for a file or a folder; it goes with the site. */
  newPath(): string {
    this.#paths += 1
    return join(this.#root, String(this.#paths))
  }

  /** With an empty store, in front of the origin, unless told otherwise. */
  async startLayover(options: StartOptions = {}): Promise<Layover> {
    const { home = this.newPath(), upstreams, cores, certificate, ...rest } = options
    return Layover.start({
      home,
      built: this.built,
      cores,
      certificate,
      upstreams: upstreams ?? { [registry]: await this.#port },
      ...rest,
    })
  }

  async originUrl(): Promise<string> {
    return `http://127.0.0.1:${await this.#port}`
  }

  /** A new blob at the origin, unlike any before. */
  async addBlob(size: number, fault?: Fault): Promise<Blob> {
    this.#seed += 1
    const spec = { seed: this.#seed, size }
    const digest = await this.origin.call('addBlob', { ...spec, ...(fault ? { fault } : {}) })
    return {
      spec,
      digest,
      path: `/v2/${registry}/bench/app/blobs/${digest}`,
      direct: `${await this.originUrl()}/v2/bench/app/blobs/${digest}`,
    }
  }

  /** One reader that takes what comes as fast as it comes. */
  async read(url: string, { spec }: Blob, options: { hash?: boolean; saveTo?: string } = {}) {
    const [transfer] = await this.client.call('bulk', { url, spec, readers: 1, ...options })
    if (!transfer) throw new Error('the client gave no account of its transfer')
    return transfer
  }

  /** Resolves once no transfer is under way any more and the blob has its place: what comes next is not disturbed. */
  async settled(layover: Layover, { digest }: Blob): Promise<void> {
    await until(() => existsSync(storedAt(layover.store, digest)), `${digest} is not in the store`)
  }

  /** Body bytes and GETs that the origin was asked for since the last look. */
  async upstreamCost(digest: string): Promise<{ gets: number; bytes: number; exchanges: Exchange[] }> {
    const exchanges = (await this.origin.call('takeLog', undefined)).filter(
      exchange => exchange.digest === digest,
    )
    const gets = exchanges.filter(({ method }) => method === 'GET')
    const bytes = gets.reduce(
      (total, { sent }) => total + sent.reduce((all, write) => all + write.bytes, 0),
      0,
    )
    return { gets: gets.length, bytes, exchanges }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client[Symbol.asyncDispose]()
    await this.origin[Symbol.asyncDispose]()
    process.off('exit', this.#remove)
    this.#remove()
  }
}

interface SiteOptions {
  built: boolean
  quick: boolean
  nodes?: number | undefined
}

type StartOptions = Partial<Omit<LayoverOptions, 'built'>>

/** Where the store keeps it. */
export function storedAt(store: string, digest: string): string {
  const hex = digest.slice('sha256:'.length)
  return join(store, 'cached', 'sha256', hex.slice(0, 2), hex)
}

export async function until(holds: () => boolean, otherwise: string): Promise<void> {
  if (!(await comesTrue(holds, settleMs))) throw new Error(`${otherwise} after ${settleMs / 1000} s`)
}

/** Whether it holds within this time. */
export async function comesTrue(holds: () => boolean, withinMs: number): Promise<boolean> {
  const deadlineMs = nowMs() + withinMs
  while (!holds()) {
    if (nowMs() > deadlineMs) return false
    await pause(50)
  }
  return true
}
