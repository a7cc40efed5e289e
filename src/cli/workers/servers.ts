/** The servers as the primary has them: started, told of what changes, replaced when they die. */
import type { BoundAddress } from '../../edge/listener.ts'
import type { Logger } from '../../observe/log.ts'
import { type Counted, remaining, sum } from '../../observe/sum.ts'
import { type Clock, systemClock } from '../../runtime/clock.ts'
import type { Link } from './link.ts'
import type { Order, OrderAnswers, Report } from './orders.ts'

/** One process that serves. */
export interface Server {
  readonly pid: number | undefined
  readonly link: Link
  /** Resolves, with how it ended, when it has; the link is closed then. */
  readonly ended: Promise<string>
  /** It has nothing more to do, and ends when its log is written. */
  leave(): void
  kill(): void
}

/** @param reported returns what the server is answered, if it waits for that */
export type Spawn = (reported: (report: Report) => unknown) => Server

export interface ServersDeps {
  readonly count: number
  readonly spawn: Spawn
  readonly log: Logger
  /** What a server is started with, as it is at the moment. */
  readonly start: () => Order & { kind: 'start' }
  readonly reported: (report: Report) => unknown
  readonly clock?: Clock
}

/** Who does not take in an order for so long hangs, and would answer what is not true any more. */
const patienceMs = 10_000
const graceMs = 500
/** A process that starts may wait long for its turn, on a machine where everything does. */
const startMs = 60_000
/** How often each is asked how it fares. */
const watchMs = 10_000
/** Between the deaths of a server that dies again and again. */
const restartMs = { first: 100, most: 10_000 }

export class Servers {
  readonly #deps: ServersDeps
  readonly #clock: Clock
  readonly #servers = new Set<Server>()
  /** Those of them that have not taken in their first order yet. */
  readonly #starting = new Set<Server>()
  readonly #stopping = new AbortController()
  /** As each of them told last: what a dead one counted is not to vanish from the sum. */
  readonly #counted = new Map<Server, Counted>()
  /** What dead ones counted; folded into one, one after the other. */
  readonly #past: Counted[] = []
  #folding: Promise<void> = Promise.resolve()

  constructor(deps: ServersDeps) {
    this.#deps = deps
    this.#clock = deps.clock ?? systemClock
  }

  /**
   * Starts the first, which finds the ports that are left to the system. Resolves with where it listens.
   *
   * @throws the system's error when it cannot
   */
  start(): Promise<readonly BoundAddress[]> {
    void this.#watch()
    return this.#add(restartMs.first)
  }

  /** @throws the system's error when one cannot listen */
  async startOthers(): Promise<void> {
    await Promise.all(Array.from({ length: this.#deps.count - 1 }, () => this.#add(restartMs.first)))
  }

  /** Resolves when every server has taken it in, or is no more. */
  async tell(order: Order): Promise<void> {
    await Promise.all([...this.#servers].map(server => this.#order(server, order).catch(() => {})))
  }

  /** Says it to every server without waiting for any. */
  send(order: Order): void {
    for (const { link } of this.#servers) link.tell(order)
  }

  /** Resolves when every server has taken it in. @throws the first failure of one that goes on with the old one */
  async reload(order: Order & { kind: 'reload' }): Promise<void> {
    await Promise.all(
      [...this.#servers].map(server =>
        this.#order(server, order).catch((error: unknown) => {
          if (!server.link.isClosed) throw error // else another one starts with the new one
        }),
      ),
    )
  }

  /** What the servers counted, those that are no more included. */
  async metrics(): Promise<readonly Counted[]> {
    await Promise.all(
      [...this.#servers].map(async server => {
        const counted = await this.#order(server, { kind: 'metrics' }).catch(() => undefined)
        if (counted && this.#servers.has(server)) this.#counted.set(server, counted)
      }),
    )
    return [...this.#past, ...this.#counted.values()]
  }

  /** They take no new connections and end when their transfers have, or at the deadline. */
  async stop(drainMs: number): Promise<void> {
    this.#stopping.abort(new Error('Layover is stopping'))
    await Promise.all(
      [...this.#servers].map(async server => {
        await this.#order(server, { kind: 'stop', drainMs }, drainMs + patienceMs).catch(() => {})
        server.leave()
        await this.#within(patienceMs, server, 'leave', server.ended)
      }),
    )
  }

  /** Who hangs is found though nothing changes, and little is lost of what a server counts that dies. */
  async #watch(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await this.#clock.sleep(watchMs, signal).catch(() => {}) // the stop ends it
      if (!signal.aborted) await this.metrics()
    }
  }

  async #add(pauseMs: number): Promise<readonly BoundAddress[]> {
    const { spawn, reported, start } = this.#deps
    const server = spawn(reported)
    const since = this.#clock.monotonic()
    this.#servers.add(server)
    this.#starting.add(server)
    void server.ended.then(how => {
      const isSettled = this.#clock.monotonic() - since > restartMs.most
      return this.#replace(server, how, isSettled ? restartMs.first : pauseMs)
    })
    try {
      return await this.#order(server, start())
    } catch (error) {
      server.kill()
      throw error
    } finally {
      this.#starting.delete(server)
    }
  }

  async #replace(server: Server, how: string, pauseMs: number): Promise<void> {
    const { log } = this.#deps
    const { signal } = this.#stopping
    this.#servers.delete(server)
    const counted = this.#counted.get(server)
    this.#counted.delete(server)
    if (counted) this.#remember(remaining(counted))
    if (signal.aborted) return
    log.error({ pid: server.pid, how }, 'a server died and is replaced')
    try {
      await this.#clock.sleep(pauseMs, signal)
      await this.#add(Math.min(pauseMs * 2, restartMs.most))
    } catch (error) {
      if (!signal.aborted) log.error({ err: error }, 'a new server could not start') // its end brings the next one
    }
  }

  /** Part of the sum at once: no scrape sees it go down. */
  #remember(counted: Counted): void {
    this.#past.push(counted)
    this.#folding = this.#folding.then(async () => {
      const all = [...this.#past]
      const one = await sum(all).getMetricsAsJSON()
      this.#past.splice(0, all.length, one)
    })
  }

  async #order<K extends Order['kind']>(
    server: Server,
    order: Order & { kind: K },
    withinMs = this.#starting.has(server) ? startMs : patienceMs,
  ): Promise<OrderAnswers[K]> {
    const answered = server.link.ask(order) as Promise<OrderAnswers[K]>
    return this.#within(withinMs, server, order.kind, answered)
  }

  /** A server that has not done it by then hangs. */
  async #within<T>(ms: number, server: Server, order: string, done: Promise<T>): Promise<T> {
    const over = new AbortController()
    const late = this.#clock.sleep(ms, over.signal).then(async () => {
      await this.#clock.sleep(graceMs, over.signal) // it may be the whole machine that stood still
      this.#deps.log.error({ pid: server.pid, order }, 'a server does not answer and is ended')
      server.kill()
    })
    late.catch(() => {}) // done in time
    try {
      return await done
    } finally {
      over.abort()
    }
  }
}
