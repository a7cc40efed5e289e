/** A server: answers from memory and from what the store holds, and has the primary answer the rest. */
import type { Access } from '../../access/access.ts'
import type { Rates } from '../../access/rates.ts'
import type { SharedCounts } from '../../cluster/counts.ts'
import type { Config } from '../../config/config.ts'
import type { Exchange } from '../../edge/exchange.ts'
import { Gate } from '../../edge/gate/gate.ts'
import type { BoundAddress } from '../../edge/listener.ts'
import { HotAnswers } from '../../edge/memory/hot-answers.ts'
import { HotPath } from '../../edge/memory/hot-path.ts'
import { pageAt } from '../../edge/pages.ts'
import { asItsClients } from '../../edge/replicas/replica-origin.ts'
import { createEdge, type Edge } from '../../edge/server.ts'
import { Forward } from '../../edge/siblings/forward.ts'
import { answerHeld, type HeldDeps } from '../../edge/siblings/held.ts'
import { Known } from '../../index/known.ts'
import { type IndexReader, openIndexReader } from '../../index/rows/reader.ts'
import { Lines } from '../../observe/lines.ts'
import type { Logger } from '../../observe/log.ts'
import { createMetrics } from '../../observe/metrics.ts'
import { countedBy } from '../../observe/sum.ts'
import { createHeldReads } from '../../pull/held.ts'
import type { Clock } from '../../runtime/clock.ts'
import { openStoreReader, type Store } from '../../store/store.ts'
import { closedUpstream } from '../../upstream/closed.ts'
import { accessOfServer, noRates, ratesOf } from '../access.ts'
import { bounds } from '../front.ts'
import { resolverOf } from '../resolver.ts'
import type { Order, Report } from './orders.ts'
import { Pulse } from './pulse.ts'

export interface ServerDeps {
  readonly log: Logger
  readonly clock: Clock
  readonly report: (report: Report) => void
  /** Of all processes and replicas. */
  readonly counts: SharedCounts
}

export class ServerProgram {
  readonly #deps: ServerDeps
  readonly #lines: Lines
  readonly #metrics = createMetrics({ defaults: true })
  readonly #pulse = new Pulse()
  #running: Running | undefined

  constructor(deps: ServerDeps) {
    this.#deps = deps
    this.#lines = new Lines(deps.log)
  }

  async obey(order: Order): Promise<unknown> {
    this.#pulse.beat()
    switch (order.kind) {
      case 'start':
        return this.#start(order)
      case 'reload':
        return this.#reload(order.config)
      case 'changing':
        this.#running?.entries.changing(order.key)
        return this.#running?.answers.drop(order.key)
      case 'changed':
        this.#running?.reader.use(order.index)
        this.#running?.entries.changed(order.key)
        return this.#running?.answers.drop(order.key)
      case 'index':
        return this.#running?.reader.use(order.index)
      case 'dropped':
        return this.#running?.store.forget(order.digest, order.isGone)
      case 'quarantined':
        this.#running?.store.pushed.forget(order.digest)
        return this.#running?.answers.clear()
      case 'metrics':
        return countedBy(this.#metrics)
      case 'stop':
        return this.#stop(order.drainMs)
    }
  }

  #start({
    config,
    inlet,
    index,
    doubtful,
    changing,
    sharesLocalNames,
  }: Order & { kind: 'start' }): Promise<readonly BoundAddress[]> {
    const { log, clock, report } = this.#deps
    const store = openStoreReader(config.store.path, {
      log,
      clock,
      metrics: this.#metrics,
      doubtful,
      used: digests => report({ kind: 'used', digests }),
    })
    const reader = openIndexReader(store.layout.index)
    reader.use(index)
    const answers = new HotAnswers(config.limits.memory)
    const entries = new Known({
      index: reader.index,
      clock,
      pulled: (key, digest) => report({ kind: 'pulled', key, digest }),
    })
    for (const key of changing) entries.changing(key)
    const access = { of: accessOfServer(config, clock, log) }
    const rates = ratesOf({ config: () => config, clock, counts: this.#deps.counts })
    const told = { publicUrl: () => undefined, metrics: this.#metrics }
    const gate = new Gate({ ...told, access: () => access.of, rates })
    const hotPath = new HotPath({ answers, clock, metrics: this.#metrics, lines: this.#lines, gate })
    const silence = () => this.#pulse.silence
    const forward = new Forward({ inlet, open: digest => store.open(digest), silence })
    const reads = createHeldReads({ entries, store, clock, log })
    const held = (of: Config): HeldDeps => ({
      resolver: resolverOf(of, ({ options }) => closedUpstream(options)),
      reads,
      gate,
      hotPath,
      forward,
      sharesLocalNames,
      log,
    })
    this.#running = {
      config,
      store,
      reader,
      entries,
      answers,
      forward,
      held,
      current: held(config),
      access,
      rates,
      edge: undefined,
    }
    return this.#listen(this.#running, { hotPath, gate })
  }

  async #listen(
    running: Running,
    { hotPath, gate }: { hotPath: HotPath; gate: Gate },
  ): Promise<readonly BoundAddress[]> {
    const { log } = this.#deps
    const edge = createEdge({
      hotPath,
      gate,
      log,
      lines: this.#lines,
      metrics: this.#metrics,
      sharesAddress: true,
      ...bounds(() => running.config),
      // Where there are replicas the primary knows who is one.
      asItsClients: exchange =>
        running.current.sharesLocalNames ? exchange : asItsClients(exchange, undefined),
      answer: (exchange, draining) =>
        isOwn(exchange, draining) ? undefined : answerHeld(exchange, running.current),
      pages: { probe: async () => {}, scrape: () => Promise.reject(new Error('the primary answers it')) },
    })
    running.edge = edge
    const addresses: BoundAddress[] = []
    for (const address of running.config.listen) addresses.push(await edge.listen(address))
    return addresses
  }

  #reload(config: Config): void {
    const running = this.#running
    if (!running) return
    running.edge?.renew(config.listen)
    running.config = config
    running.current = running.held(config)
    running.rates.update(config.access?.rates ?? noRates)
    running.access.of = accessOfServer(config, this.#deps.clock, this.#deps.log)
    running.answers.clear() // names may lead elsewhere now
  }

  async #stop(drainMs: number): Promise<void> {
    const running = this.#running
    if (!running) return
    await running.edge?.drain(drainMs)
    await running.forward.close()
    running.rates.close()
    this.#pulse.stop()
    running.reader.close()
    running.store.close()
  }
}

/** How the whole fares the primary knows; that this process ends, it says itself. */
function isOwn({ path }: Exchange, draining: boolean): boolean {
  return draining && pageAt(path) === 'health'
}

interface Running {
  config: Config
  readonly store: Store
  readonly reader: IndexReader
  readonly entries: Known
  readonly answers: HotAnswers
  readonly forward: Forward
  readonly held: (config: Config) => HeldDeps
  readonly access: { of: Access | undefined }
  readonly rates: Rates
  current: HeldDeps
  edge: Edge | undefined
}
