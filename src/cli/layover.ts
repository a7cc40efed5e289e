/** The whole program, wired: the one place where every part meets the others. */
import { randomBytes } from 'node:crypto'
import type { Listening } from '../admin/listen.ts'
import type { SharedCounts } from '../cluster/counts.ts'
import type { Redis } from '../cluster/redis/redis.ts'
import type { Replicas } from '../cluster/replicas.ts'
import type { Config } from '../config/config.ts'
import { assertFree, assertUsable, type BoundAddress } from '../edge/listener.ts'
import type { RegistryDeps } from '../edge/registry.ts'
import { ownLocalNames } from '../edge/replicas/local-names.ts'
import type { Edge } from '../edge/server.ts'
import { Lines } from '../observe/lines.ts'
import type { Logger } from '../observe/log.ts'
import { createMetrics } from '../observe/metrics.ts'
import { type Clock, systemClock } from '../runtime/clock.ts'
import { type Lookup, systemLookup } from '../runtime/lookup.ts'
import { openAdmin } from './admin.ts'
import { fixedChanges, takenOver } from './fixed-changes.ts'
import { createFront } from './front.ts'
import { openParts, type Parts } from './parts.ts'
import { openReplicas } from './replicas.ts'
import { namespaceOf, publicPathOf, resolverOf } from './resolver.ts'
import { scrape } from './scrape.ts'
import { meetBucket, siteOf } from './shared.ts'
import { quotaScopes } from './upkeep/keeping.ts'
import { keepTidy } from './upkeep/tidying.ts'
import { Upkeep } from './upkeep/upkeep.ts'
import { UpstreamClients } from './upstream-clients.ts'
import { Changes } from './workers/changes.ts'
import { countsOfAll } from './workers/counts.ts'
import { note } from './workers/note.ts'
import { forServers, type Order, type Report } from './workers/orders.ts'
import { Servers, type Spawn } from './workers/servers.ts'

/** What the program takes from its surroundings; tests bring their own. */
export interface Surroundings {
  readonly log: Logger
  readonly clock?: Clock
  readonly lookup?: Lookup
  /** What replicas share, and the index is in; undefined: this one is alone. */
  readonly redis?: Redis | undefined
  /** Reads the configuration again and takes it over. Resolves with what was wrong. */
  readonly reload?: (() => Promise<Error | undefined>) | undefined
  /** Servers that take the connections of clients; without them this process does. */
  readonly workers?: { readonly count: number; readonly spawn: Spawn } | undefined
}

export interface Layover {
  readonly addresses: readonly BoundAddress[]
  /** Where the admin API is. */
  readonly admin: Pick<Listening, 'socket' | 'address'> | undefined
  /** Takes over everything but what a running process cannot change, which is named in the log. */
  reload(config: Config): Promise<void>
  /** Ends transfers within the configured time; nothing that was acknowledged is lost. */
  stop(): Promise<void>
}

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
  readonly #readAgain: Surroundings['reload']
  readonly #metrics = createMetrics({ defaults: true })
  readonly #loopId = randomBytes(8).toString('hex')
  readonly #stopping = new AbortController()
  readonly #upstreams: UpstreamClients
  readonly #redis: Redis | undefined
  readonly #replicas: Replicas | undefined
  /** Of server processes and replicas together. */
  readonly #lookup: Lookup
  readonly #counts: SharedCounts
  #config: Config
  #started: Started | undefined
  #registry: RegistryDeps | undefined
  #servers: Servers | undefined
  #changes: Changes | undefined
  #admin: Listening | undefined
  /** Keys that take effect at the next start. */
  #waiting: readonly string[] = []

  constructor(config: Config, surroundings: Surroundings) {
    const { log, clock = systemClock, lookup = systemLookup, redis, workers, reload } = surroundings
    this.#config = config
    this.#readAgain = reload
    this.#log = log
    this.#lines = new Lines(log)
    this.#clock = clock
    this.#workers = workers
    this.#redis = redis
    this.#lookup = lookup
    this.#counts = countsOfAll({ redis, clock })
    const site = () => siteOf(this.#config, this.#started?.store)
    this.#replicas = openReplicas(config, { redis, site, clock, lookup, log, metrics: this.#metrics })
    this.#upstreams = new UpstreamClients({
      pauses: this.#replicas?.pauses,
      clock,
      lookup,
      loopId: this.#loopId,
      log,
      metrics: this.#metrics,
    })
  }

  get admin(): Layover['admin'] {
    return this.#admin
  }

  async start(): Promise<void> {
    const parts = await openParts({
      config: () => this.#config,
      log: this.#log,
      lines: this.#lines,
      clock: this.#clock,
      metrics: this.#metrics,
      redis: this.#redis,
      lookup: this.#lookup,
      counts: this.#counts,
      replicas: this.#replicas,
      changes: () => this.#changes,
      namespaceOf: key => this.#registry && namespaceOf(key, this.#registry.resolver),
      dropped: (digest, isGone) => this.#servers?.send({ kind: 'dropped', digest, isGone }),
      stopping: this.#stopping.signal,
    })
    const started = { ...parts, edge: this.#edge(parts) }
    this.#started = started
    this.#registry = this.#assemble(started)
    const upkeep = this.#upkeep(started)
    try {
      this.#admin = await this.#openAdmin(started, upkeep)
      await this.#replicas?.start() // before the first client comes, whose blob another one may have
      await (this.#workers ? this.#startServers(started, this.#workers) : this.#listen(started))
    } catch (error) {
      await this.stop()
      throw error
    }
    const { background, store, pins } = started
    background.run(() => meetBucket(store, this.#log))
    background.run(() => pins.refresh())
    background.run(() => store.takeStock(this.#stopping.signal))
    background.run(() => keepTidy(store, { clock: this.#clock, signal: this.#stopping.signal }))
    background.run(() => upkeep.run())
  }

  async reload(config: Config): Promise<void> {
    assertUsable(config.listen) // before anything is taken over
    await this.#started?.replica?.assertTakes(config)
    const waiting = fixedChanges(this.#config, config)
    if (waiting.length > 0) this.#log.warn({ keys: waiting }, 'these settings take effect at the next start')
    this.#waiting = waiting
    const isCountedAnew = quotaScopes(this.#config) !== quotaScopes(config)
    this.#config = takenOver(this.#config, config)
    this.#started?.edge.renew(config.listen)
    await this.#started?.keeper.renew()
    if (this.#started) this.#registry = this.#assemble(this.#started)
    this.#started?.answers.clear() // names may lead elsewhere now
    if (isCountedAnew) this.#started?.push.quotas.forget()
    await this.#servers?.reload({ kind: 'reload', config: forServers(this.#config, this.addresses) })
    this.#upstreams.keepOnly(config.upstreams)
    await this.#started?.pins.refresh()
    this.#started?.background.run(async () => this.#started?.store.capacity?.tidy())
  }

  async stop(): Promise<void> {
    const started = this.#started
    if (!started || this.#stopping.signal.aborted) return
    this.#stopping.abort(new Error('Layover is stopping'))
    const { drainMs } = this.#config.limits
    await this.#replicas?.leave()
    const quiet = this.#admin?.close(drainMs)
    started.edge.leave()
    await started.replica?.handOver() // while others still reach us
    await this.#servers?.stop(drainMs)
    await started.edge.drain(drainMs)
    await quiet
    started.keeper.close()
    await started.pull.stop()
    await this.#replicas?.close()
    await started.push.uploads.stop()
    await Promise.all([started.holdings.stop(), started.catalog.stop()])
    await started.replica?.stop()
    await this.#upstreams.destroy()
    await started.index.close()
    await started.store.shared?.drain()
    started.store.close()
  }

  #openAdmin(parts: Parts, upkeep: Upkeep): Promise<Listening> {
    return openAdmin({
      address: this.#config.admin,
      parts,
      upkeep,
      resolver: () => this.#current().resolver,
      reload: this.#readAgain,
      waiting: () => this.#waiting,
      servers: this.#workers?.count ?? 0,
      clock: this.#clock,
      log: this.#log,
    })
  }

  async #listen({ edge }: Started): Promise<void> {
    for (const address of this.#config.listen) this.addresses.push(await edge.listen(address))
  }

  async #startServers(started: Started, workers: NonNullable<Surroundings['workers']>): Promise<void> {
    await assertFree(this.#config.listen)
    const inlet = await started.edge.listenInward()
    const start = (): Order & { kind: 'start' } => ({
      kind: 'start',
      config: forServers(this.#config, this.addresses),
      sharesLocalNames: started.replica !== undefined,
      inlet,
      index: started.index.shared,
      doubtful: started.store.doubtful,
      changing: this.#changes?.underWay ?? [],
    })
    const noted = { ...started, counts: this.#counts }
    const reported = (report: Report) => note(report, noted)
    const servers = new Servers({ ...workers, log: this.#log, start, reported })
    this.#servers = servers
    this.#changes = new Changes(started.index, servers, this.#stopping.signal)
    this.addresses.push(...(await servers.start()))
    await servers.startOthers()
  }

  #edge(parts: Parts): Edge {
    return createFront(parts, {
      config: () => this.#config,
      registry: () => this.#current(),
      replicas: this.#replicas,
      log: this.#log,
      lines: this.#lines,
      metrics: this.#metrics,
      scrape: () => scrape({ ...parts, metrics: this.#metrics, servers: this.#servers }),
    })
  }

  #current(): RegistryDeps {
    if (!this.#registry) throw new Error('the program has not started')
    return this.#registry
  }

  #assemble({ pull, push, inventory, hotPath, gate, replica }: Started): RegistryDeps {
    return {
      localNames: replica?.names ?? ownLocalNames,
      pull,
      push,
      inventory,
      hotPath,
      gate,
      log: this.#log,
      resolver: resolverOf(this.#config, upstream => this.#upstreams.of(upstream)),
      publicPath: publicPathOf(this.#config),
      loopId: this.#loopId,
      limits: () => {
        const { limits: pace } = this.#config
        return { pace, manifestBytes: pace.manifest, pageLimit: pace.page }
      },
    }
  }

  #upkeep(parts: Parts): Upkeep {
    return new Upkeep({
      ...parts,
      config: () => this.#config,
      clock: this.#clock,
      log: this.#log,
      metrics: this.#metrics,
      signal: this.#stopping.signal,
      mayCollect: () => parts.replica === undefined || parts.replica.ownership.owner.kind === 'self',
      policyOf: key => namespaceOf(key, this.#current().resolver),
      quarantined: digest => {
        parts.answers.clear() // whoever gave it
        this.#servers?.send({ kind: 'quarantined', digest })
      },
    })
  }
}
