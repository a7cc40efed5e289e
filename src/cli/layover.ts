/** The whole program, wired: the one place where every part meets the others. */
import { randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { Config } from '../config/config.ts'
import { HotAnswers } from '../edge/hot-answers.ts'
import { HotPath } from '../edge/hot-path.ts'
import { assertUsable, type BoundAddress, isSamePlace } from '../edge/listener.ts'
import type { Scrape } from '../edge/pages.ts'
import { answerRegistry, type RegistryDeps } from '../edge/registry.ts'
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
import { countedBy, sum } from '../observe/sum.ts'
import { createPull, type Pull } from '../pull/pull.ts'
import { createPush, type Push } from '../push/push.ts'
import { type Clock, systemClock } from '../runtime/clock.ts'
import { type Lookup, systemLookup } from '../runtime/lookup.ts'
import { localRegistry, type RepositoryKey } from '../store/layout.ts'
import { openStore, type Store } from '../store/store.ts'
import { Background } from '../stream/background.ts'
import { publicPathOf, resolverOf } from './resolver.ts'
import { UpstreamClients } from './upstream-clients.ts'
import { Changes } from './workers/changes.ts'
import { forServers, type Report } from './workers/orders.ts'
import { Servers, type Spawn } from './workers/servers.ts'
import { socketPathFor } from './workers/socket-path.ts'

/** What the program takes from its surroundings; tests bring their own. */
export interface Surroundings {
  readonly log: Logger
  readonly clock?: Clock
  readonly lookup?: Lookup
  /** Servers that take the connections of clients; without them this process does. */
  readonly workers?: { readonly count: number; readonly spawn: Spawn } | undefined
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
  readonly #workers: Surroundings['workers']
  #config: Config
  #servers: Servers | undefined
  #changes: Changes | undefined
  #started: Started | undefined
  #registry: RegistryDeps | undefined

  constructor(config: Config, { log, clock = systemClock, lookup = systemLookup, workers }: Surroundings) {
    this.#config = config
    this.#workers = workers
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
    const store = await openStore(this.#config.store.path, {
      log: this.#log,
      metrics: this.#metrics,
      dropped: digest => void this.#servers?.tell({ kind: 'dropped', digest }),
    })
    const index = await openSqliteIndex({ path: store.layout.index, clock: this.#clock, log: this.#log })
    const background = new Background(error =>
      this.#log.error({ err: error }, 'work behind an answer failed'),
    )
    const answers = new HotAnswers(this.#config.limits.memory)
    const changing = (key: RepositoryKey) => this.#changes?.begin(key)
    const changed = (key: RepositoryKey) => {
      answers.drop(key)
      return this.#changes?.end(key)
    }
    const holdings = new Holdings({ index, store, clock: this.#clock, log: this.#log, changing, changed })
    const deps = {
      store,
      catalog: new Catalog(index, store, this.#clock, {
        changed: async key => {
          await changing(key)
          await changed(key)
        },
      }),
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
    this.#started = { ...deps, index, pull, push, inventory, answers, hotPath, edge }
    this.#registry = this.#assemble(this.#started)
    try {
      this.addresses.push(...(await this.#listen(this.#started)))
    } catch (error) {
      await this.stop()
      throw error
    }
    background.run(() => this.#reap(store, push))
  }

  async #listen(started: Started): Promise<readonly BoundAddress[]> {
    const { edge, store, index } = started
    if (!this.#workers) {
      const bound: BoundAddress[] = []
      for (const address of this.#config.listen) bound.push(await edge.listen(address))
      return bound
    }
    const socketPath = await socketPathFor(store.layout)
    await edge.listenInward(socketPath)
    const start = () => {
      const { underWay: changing = [] } = this.#changes ?? {}
      return {
        kind: 'start',
        config: forServers(this.#config),
        socketPath,
        index: index.shared,
        changing,
      } as const
    }
    const reported = (report: Report) => notePull(report, started)
    const servers = new Servers({ ...this.#workers, log: this.#log, start, reported })
    this.#servers = servers
    this.#changes = new Changes(index, servers, this.#stopping.signal)
    return servers.start()
  }

  async reload(config: Config): Promise<void> {
    assertUsable(config.listen) // before anything is taken over
    this.#started?.edge.renew(config.listen)
    const before = this.#config
    const fixed = fixedChanges(before, config)
    if (fixed.length > 0) this.#log.warn({ keys: fixed }, 'these settings take effect at the next start')
    const listen = before.listen.map(old => config.listen.find(address => isSamePlace(address, old)) ?? old)
    this.#config = { ...config, listen, store: before.store }
    if (this.#started) this.#registry = this.#assemble(this.#started)
    this.#started?.answers.clear() // names may lead elsewhere now
    await this.#servers?.reload({ kind: 'reload', config: forServers(this.#config) })
    this.#upstreams.keepOnly(config.upstreams)
  }

  async stop(): Promise<void> {
    const started = this.#started
    if (!started || this.#stopping.signal.aborted) return
    this.#stopping.abort(new Error('Layover is stopping'))
    await this.#servers?.stop(this.#config.limits.drainMs)
    await started.edge.drain(this.#config.limits.drainMs)
    await started.pull.stop()
    await started.push.uploads.stop()
    await started.holdings.stop()
    await this.#upstreams.destroy()
    await started.index.close()
    started.store.close()
  }

  #edge(store: Store, index: Index, hotPath: HotPath): Edge {
    return createEdge({
      hotPath,
      log: this.#log,
      metrics: this.#metrics,
      maxConnections: () => this.#config.limits.connections,
      stalledMs: () => this.#config.limits.stalledMs,
      answer: exchange => answerRegistry(exchange, this.#current()),
      pages: { probe: () => store.probe(), scrape: () => this.#scrape(index) },
    })
  }

  async #scrape(index: Index): Promise<Scrape> {
    this.#metrics.indexUp.set(index.up ? 1 : 0)
    const { registry } = this.#metrics
    const { contentType } = registry
    if (!this.#servers) return { text: await registry.metrics(), contentType }
    const all = [await countedBy(this.#metrics), ...(await this.#servers.metrics())]
    return { text: await sum(all).metrics(), contentType }
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
    return {
      pull,
      push,
      inventory,
      hotPath,
      resolver: resolverOf(this.#config, upstream => this.#upstreams.of(upstream)),
      publicPath: publicPathOf(this.#config),
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

/** A server gave a manifest, and it is time to take it down. */
function notePull({ key, digest }: Report, { catalog, holdings, background }: Started): void {
  if (key.registry === localRegistry) holdings.notePull(key, digest)
  else if (catalog.isPullDue(key, digest)) background.run(() => catalog.notePull(key, digest))
}

interface Started {
  store: Store
  index: Index
  catalog: Catalog
  holdings: Holdings
  background: Background
  pull: Pull
  push: Push
  inventory: RegistryDeps['inventory']
  answers: HotAnswers
  hotPath: HotPath
  edge: Edge
}
