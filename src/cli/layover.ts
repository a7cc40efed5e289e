/** The whole program, wired: the one place where every part meets the others. */
import { randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { Config } from '../config/config.ts'
import { HotAnswers } from '../edge/hot-answers.ts'
import { HotPath } from '../edge/hot-path.ts'
import { type BoundAddress, isSamePlace } from '../edge/listener.ts'
import type { RegistryDeps } from '../edge/registry.ts'
import { createEdge, type Edge } from '../edge/server.ts'
import { Catalog } from '../index/catalog.ts'
import type { Index } from '../index/index.ts'
import { Holdings } from '../index/local/holdings.ts'
import { Repositories } from '../index/repositories.ts'
import { Revisions } from '../index/revisions.ts'
import { openSqliteIndex } from '../index/rows/sqlite.ts'
import { Lines } from '../observe/lines.ts'
import type { Logger } from '../observe/log.ts'
import { createMetrics } from '../observe/metrics.ts'
import { createPull, type Pull } from '../pull/pull.ts'
import { createPush, type Push } from '../push/push.ts'
import { Resolver } from '../resolve/resolve.ts'
import { type Clock, systemClock } from '../runtime/clock.ts'
import { type Lookup, systemLookup } from '../runtime/lookup.ts'
import type { RepositoryKey } from '../store/layout.ts'
import { openStore, type Store } from '../store/store.ts'
import { Background } from '../stream/background.ts'
import { UpstreamClients } from './upstream-clients.ts'

/** What the program takes from its surroundings; tests bring their own. */
export interface Surroundings {
  readonly log: Logger
  readonly clock?: Clock
  readonly lookup?: Lookup
}

export interface Layover {
  readonly addresses: readonly BoundAddress[]
  /** Takes over everything but what a running process cannot change, which is named in the log. */
  reload(config: Config): Promise<void>
  /** Ends transfers within the configured time; nothing that was acknowledged is lost. */
  stop(): Promise<void>
}

/** How often what flights left behind is looked through. */
const reapEveryMs = 3_600_000

/** @throws StoreUnusable, or the system's error when an address cannot be listened on */
export async function startLayover(config: Config, surroundings: Surroundings): Promise<Layover> {
  const layover = new Program(config, surroundings)
  await layover.start()
  return layover
}

class Program implements Layover {
  readonly addresses: BoundAddress[] = []
  readonly #log: Logger
  readonly #clock: Clock
  readonly #metrics = createMetrics({ defaults: true })
  readonly #loopId = randomBytes(8).toString('hex')
  readonly #stopping = new AbortController()
  readonly #upstreams: UpstreamClients
  #config: Config
  #started: Started | undefined
  #registry: RegistryDeps | undefined

  constructor(config: Config, { log, clock = systemClock, lookup = systemLookup }: Surroundings) {
    this.#config = config
    this.#log = log
    this.#clock = clock
    this.#upstreams = new UpstreamClients({
      clock,
      lookup,
      loopId: this.#loopId,
      log,
      metrics: this.#metrics,
    })
  }

  async start(): Promise<void> {
    const store = await openStore(this.#config.store.path, { log: this.#log, metrics: this.#metrics })
    const index = await openSqliteIndex({ path: store.layout.index, clock: this.#clock, log: this.#log })
    const background = new Background(error =>
      this.#log.error({ err: error }, 'work behind an answer failed'),
    )
    const answers = new HotAnswers(this.#config.limits.memory)
    const changed = (key: RepositoryKey) => answers.drop(key)
    const holdings = new Holdings({ index, store, clock: this.#clock, log: this.#log, changed })
    const deps = {
      store,
      catalog: new Catalog(index, store, this.#clock, { changed }),
      holdings,
      completion: holdings.completion,
      clock: this.#clock,
      log: this.#log,
      metrics: this.#metrics,
      background,
    }
    const limits = this.#limits()
    const pull = createPull({ ...deps, limits })
    const push = createPush({ ...deps, limits })
    const repositories = new Repositories({ ...deps, index })
    const inventory = {
      ...deps,
      repositories,
      revisions: new Revisions(deps),
      openUploads: (key?: RepositoryKey) => push.uploads.list(key),
    }
    const hotPath = new HotPath({ ...deps, answers, lines: new Lines(this.#log) })
    const edge = this.#edge(store, index, hotPath)
    const closeIndex = () => index.close()
    this.#started = { store, holdings, pull, push, inventory, answers, hotPath, edge, closeIndex }
    this.#registry = this.#assemble(this.#started)
    try {
      for (const address of this.#config.listen) this.addresses.push(await edge.listen(address))
    } catch (error) {
      await this.stop()
      throw error
    }
    background.run(() => this.#reap(store, push))
  }

  async reload(config: Config): Promise<void> {
    this.#started?.edge.renew(config.listen) // throws before anything else is taken over
    const before = this.#config
    const fixed = fixedChanges(before, config)
    if (fixed.length > 0) this.#log.warn({ keys: fixed }, 'these settings take effect at the next start')
    this.#config = { ...config, listen: before.listen, store: before.store }
    if (this.#started) this.#registry = this.#assemble(this.#started)
    this.#started?.answers.clear() // names may lead elsewhere now
    this.#upstreams.keepOnly(config.upstreams)
  }

  async stop(): Promise<void> {
    const started = this.#started
    if (!started || this.#stopping.signal.aborted) return
    this.#stopping.abort(new Error('Layover is stopping'))
    await started.edge.drain(this.#config.limits.drainMs)
    await started.pull.stop()
    await started.push.uploads.stop()
    await started.holdings.stop()
    await this.#upstreams.destroy()
    await started.closeIndex()
    started.store.close()
  }

  #edge(store: Store, index: Index, hotPath: HotPath): Edge {
    return createEdge({
      hotPath,
      log: this.#log,
      metrics: this.#metrics,
      maxConnections: () => this.#config.limits.connections,
      stalledMs: () => this.#config.limits.stalledMs,
      probe: () => store.probe(),
      beforeScrape: () => this.#metrics.indexUp.set(index.up ? 1 : 0),
      registry: () => this.#current(),
    })
  }

  #current(): RegistryDeps {
    if (!this.#registry) throw new Error('the program has not started')
    return this.#registry
  }

  /** Read each time, so that a reload takes effect at once. */
  #limits() {
    const limits = () => this.#config.limits
    return {
      get manifestBytes() {
        return limits().manifest
      },
      get uploadBytes() {
        return limits().upload
      },
      get uploadIdleMs() {
        return limits().uploadIdleMs
      },
      get uploads() {
        return limits().uploads
      },
    }
  }

  #assemble({ pull, push, inventory, hotPath }: Started): RegistryDeps {
    const { upstreams, local, hosts, publicUrl } = this.#config
    const known = upstreams.map(upstream => ({
      upstream: this.#upstreams.of(upstream),
      policy: upstream.policy,
      aliases: upstream.aliases,
      isDefault: upstream.isDefault,
    }))
    const publicPath = publicUrl === undefined ? '' : new URL(publicUrl).pathname.replace(/\/$/, '')
    return {
      pull,
      push,
      inventory,
      hotPath,
      resolver: new Resolver(known, local, hosts),
      publicPath,
      loopId: this.#loopId,
      limits: () => ({
        stalledMs: this.#config.limits.stalledMs,
        manifestBytes: this.#config.limits.manifest,
        pageLimit: this.#config.limits.page,
      }),
    }
  }

  async #reap(store: Store, push: Push): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      try {
        const files = await store.reapPartials(this.#config.limits.partialMs, this.#clock.now())
        const uploads = await push.uploads.reap()
        if (files + uploads > 0)
          this.#log.info({ files, uploads }, 'deleted what unfinished fetches and uploads had left behind')
      } catch (error) {
        this.#log.error({ err: error }, 'what was left unfinished could not be looked through')
      }
      await this.#clock.sleep(reapEveryMs, signal).catch(() => {}) // the stop ends the loop
    }
  }
}

/** What a running process cannot take over. */
function fixedChanges(before: Config, after: Config): string[] {
  const listensThere =
    before.listen.length === after.listen.length &&
    before.listen.every(old => after.listen.some(address => isSamePlace(address, old)))
  const storesThere = isDeepStrictEqual(before.store, after.store)
  return [...(listensThere ? [] : ['listen']), ...(storesThere ? [] : ['store'])]
}

interface Started {
  store: Store
  holdings: Holdings
  pull: Pull
  push: Push
  inventory: RegistryDeps['inventory']
  answers: HotAnswers
  hotPath: HotPath
  edge: Edge
  closeIndex: () => Promise<void>
}
