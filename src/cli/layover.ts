/** The whole program, wired: the one place where every part meets the others. */
import { randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { Collection } from '../collect/collection.ts'
import type { Config } from '../config/config.ts'
import { assertFree, assertUsable, type BoundAddress, isSamePlace } from '../edge/listener.ts'
import type { Scrape } from '../edge/pages.ts'
import { answerRegistry, type RegistryDeps } from '../edge/registry.ts'
import { createEdge, type Edge } from '../edge/server.ts'
import { Lines } from '../observe/lines.ts'
import type { Logger } from '../observe/log.ts'
import { createMetrics } from '../observe/metrics.ts'
import { countedBy, sum } from '../observe/sum.ts'
import { type Clock, systemClock } from '../runtime/clock.ts'
import { type Lookup, systemLookup } from '../runtime/lookup.ts'
import { localRegistry } from '../store/layout.ts'
import { Collecting } from './collecting.ts'
import { openParts, type Parts } from './parts.ts'
import { namespaceOf, publicPathOf, resolverOf } from './resolver.ts'
import { UpstreamClients } from './upstream-clients.ts'
import { Changes } from './workers/changes.ts'
import { forServers, type Order, type Report } from './workers/orders.ts'
import { Servers, type Spawn } from './workers/servers.ts'

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

interface Started extends Parts {
  readonly edge: Edge
}

class Program implements Layover {
  readonly addresses: BoundAddress[] = []
  readonly #log: Logger
  readonly #lines: Lines
  readonly #clock: Clock
  readonly #workers: Surroundings['workers']
  readonly #metrics = createMetrics({ defaults: true })
  readonly #loopId = randomBytes(8).toString('hex')
  readonly #stopping = new AbortController()
  readonly #upstreams: UpstreamClients
  #config: Config
  #started: Started | undefined
  #registry: RegistryDeps | undefined
  #servers: Servers | undefined
  #changes: Changes | undefined

  constructor(config: Config, { log, clock = systemClock, lookup = systemLookup, workers }: Surroundings) {
    this.#config = config
    this.#log = log
    this.#lines = new Lines(log)
    this.#clock = clock
    this.#workers = workers
    this.#upstreams = new UpstreamClients({
      clock,
      lookup,
      loopId: this.#loopId,
      log,
      metrics: this.#metrics,
    })
  }

  async start(): Promise<void> {
    const parts = await openParts({
      config: () => this.#config,
      log: this.#log,
      lines: this.#lines,
      clock: this.#clock,
      metrics: this.#metrics,
      changes: () => this.#changes,
      dropped: digest => this.#servers?.send({ kind: 'dropped', digest }),
    })
    const started = { ...parts, edge: this.#edge(parts) }
    this.#started = started
    this.#registry = this.#assemble(started)
    try {
      await (this.#workers ? this.#startServers(started, this.#workers) : this.#listen(started))
    } catch (error) {
      await this.stop()
      throw error
    }
    started.background.run(() => this.#reap(started))
  }

  async reload(config: Config): Promise<void> {
    assertUsable(config.listen) // before anything is taken over
    const before = this.#config
    const fixed = fixedChanges(before, config)
    if (fixed.length > 0) this.#log.warn({ keys: fixed }, 'these settings take effect at the next start')
    const listen = before.listen.map(old => config.listen.find(address => isSamePlace(address, old)) ?? old)
    this.#config = { ...config, listen, store: before.store }
    this.#started?.edge.renew(config.listen)
    if (this.#started) this.#registry = this.#assemble(this.#started)
    this.#started?.answers.clear() // names may lead elsewhere now
    await this.#servers?.reload({ kind: 'reload', config: this.#configOfServers() })
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
    await Promise.all([started.holdings.stop(), started.catalog.stop()])
    await this.#upstreams.destroy()
    await started.index.close()
    started.store.close()
  }

  async #listen({ edge }: Started): Promise<void> {
    for (const address of this.#config.listen) this.addresses.push(await edge.listen(address))
  }

  async #startServers(started: Started, workers: NonNullable<Surroundings['workers']>): Promise<void> {
    await assertFree(this.#config.listen)
    const inlet = await started.edge.listenInward()
    const start = (): Order & { kind: 'start' } => ({
      kind: 'start',
      config: this.#configOfServers(),
      inlet,
      index: started.index.shared,
      changing: this.#changes?.underWay ?? [],
    })
    const reported = (report: Report) => notePull(report, started)
    const servers = new Servers({ ...workers, log: this.#log, start, reported })
    this.#servers = servers
    this.#changes = new Changes(started.index, servers, this.#stopping.signal)
    this.addresses.push(...(await servers.start()))
    await servers.startOthers()
  }

  /** A port that the system chose stays what it is. */
  #configOfServers(): Config {
    const config = forServers(this.#config)
    const listen = config.listen.map((address, at) => ({
      ...address,
      port: this.addresses[at]?.port ?? address.port,
    }))
    return { ...config, listen }
  }

  #edge({ store, hotPath }: Parts): Edge {
    return createEdge({
      hotPath,
      log: this.#log,
      lines: this.#lines,
      metrics: this.#metrics,
      maxConnections: () => this.#config.limits.connections,
      headersMs: () => this.#config.limits.headersMs,
      stalledMs: () => this.#config.limits.stalledMs,
      answer: exchange => answerRegistry(exchange, this.#current()),
      pages: { probe: () => store.probe(), scrape: () => this.#scrape() },
    })
  }

  async #scrape(): Promise<Scrape> {
    this.#metrics.indexUp.set(this.#started?.index.up ? 1 : 0)
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

  async #reap(parts: Parts): Promise<void> {
    const { store, push } = parts
    const { signal } = this.#stopping
    const collecting = this.#collecting(parts)
    while (!signal.aborted) {
      try {
        const files = await store.reapPartials(this.#config.limits.partialMs, this.#clock.now())
        const uploads = await push.uploads.reap()
        if (files + uploads > 0)
          this.#log.info({ files, uploads }, 'deleted what unfinished fetches and uploads had left behind')
      } catch (error) {
        this.#log.error({ err: error }, 'what was left unfinished could not be looked through')
      }
      await collecting.ifDue(signal)
      await this.#clock.sleep(reapEveryMs, signal).catch(() => {}) // the stop ends the loop
    }
  }

  #collecting({ store, holdings }: Parts): Collecting {
    const [log, clock] = [this.#log, this.#clock]
    const collection = new Collection({
      store,
      holdings,
      clock,
      log,
      metrics: this.#metrics,
      policyOf: key => namespaceOf(key, this.#current().resolver),
      graceMs: () => this.#config.collection.graceMs,
    })
    return new Collecting({ collection, everyMs: () => this.#config.collection.everyMs, clock, log })
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
function notePull({ key, digest }: Report, { catalog, holdings }: Parts): void {
  const owner = key.registry === localRegistry ? holdings : catalog
  owner.notePull(key, digest)
}
