/** By whose leave a replica answers local names from memory: the owner's, for 2 s from the moment it asked. */
import type { Clock } from '../../runtime/clock.ts'
import type { RepositoryKey } from '../../store/layout.ts'
import { Signal } from '../../stream/signal.ts'
import { leaseMs, type Standing } from './ownership.ts'
import { type Moment, momentOf, Term } from './term.ts'

/**
 * `GET ?holder=<process>&turn=<number>&session=<id>`: what the owner has to say, in the holder's connection of that
 * number. `POST ?session=<id>` with `&ask=<number>`: a lease is wanted, with `&done=<number>`: what was told up to that number has been taken in,
 * with `&leave=1`: nothing is answered from memory any more.
 */
export const leasesPath = '/_replica/leases'

/** What an owner tells a leaseholder, in this order. */
export type Told =
  /** It is known: from now on it is told of every change. @property changing what changes right now, once for each change */
  | { readonly kind: 'known'; readonly changing: readonly RepositoryKey[] }
  | { readonly kind: 'granted'; readonly ask: number }
  /** Nothing of the repository is to be answered from memory; the owner waits for a word with this number. */
  | { readonly kind: 'changing'; readonly change: number; readonly key: RepositoryKey }
  | { readonly kind: 'changed'; readonly key: RepositoryKey }
  /** There is to be another owner, which waits for this word. */
  | { readonly kind: 'over'; readonly change: number }

/** What was kept of local names. */
export interface Remembered {
  changing(key: RepositoryKey): void
  changed(key: RepositoryKey): void
}

export interface LeaseDeps {
  readonly clock: Clock
  readonly remembered: Remembered
}

/** One connection's worth of leave: what was kept under it is given no more once it has ended. */
export class Lease implements Standing {
  readonly #deps: LeaseDeps
  readonly #term: Term
  readonly #asked = new Map<number, Moment>()
  readonly #changing: RepositoryKey[] = []
  #count = 0
  #done = 0
  #isKnown = false
  #usedAt: number
  readonly #wanted = new Signal()

  constructor(deps: LeaseDeps) {
    this.#deps = deps
    const never = { monotonic: Number.NEGATIVE_INFINITY, wall: Number.NEGATIVE_INFINITY }
    this.#term = new Term(deps.clock, leaseMs, never)
    this.#usedAt = deps.clock.monotonic()
  }

  get holds(): boolean {
    return this.#isKnown && this.#term.holds
  }

  /** The owner has said that it tells us of changes. */
  get isKnown(): boolean {
    return this.#isKnown
  }

  /** Somebody asked for what may be kept under it. */
  use(): void {
    this.#usedAt = this.#deps.clock.monotonic()
    if (!this.holds) this.#wanted.fire()
  }

  /** Resolves when somebody asked while it did not hold. Rejects with the signal's reason. */
  wanted(signal: AbortSignal): Promise<void> {
    return this.#wanted.until(signal)
  }

  /** Since somebody did, in milliseconds. */
  get idleMs(): number {
    return this.#deps.clock.monotonic() - this.#usedAt
  }

  /** Number of the last change that was taken in. */
  get done(): number {
    return this.#done
  }

  /** Number of a question that is sent now. */
  ask(): number {
    this.#count += 1
    this.#asked.set(this.#count, momentOf(this.#deps.clock))
    return this.#count
  }

  /** Resolves at once with the number of the change that the owner waits to hear of, if it does. */
  take(told: Told): number | undefined {
    const done = this.#obey(told)
    if (done !== undefined) this.#done = done
    return done
  }

  #obey(told: Told): number | undefined {
    switch (told.kind) {
      case 'known':
        for (const key of told.changing) this.#begin(key)
        this.#isKnown = true
        return undefined
      case 'granted':
        return this.#granted(told.ask)
      case 'changing':
        this.#begin(told.key)
        return told.change
      case 'changed':
        return this.#changed(told.key)
      case 'over':
        this.end()
        return told.change
    }
  }

  /** The connection broke, or there is another owner. */
  end(): void {
    this.#term.end()
    for (const key of this.#changing.splice(0)) this.#deps.remembered.changed(key)
  }

  #begin(key: RepositoryKey): void {
    this.#changing.push(key)
    this.#deps.remembered.changing(key)
  }

  #changed(key: RepositoryKey): undefined {
    const at = this.#changing.findIndex(
      ({ registry, repository }) => registry === key.registry && repository === key.repository,
    )
    if (at >= 0) this.#changing.splice(at, 1)
    if (at >= 0) this.#deps.remembered.changed(key)
  }

  /** Counts from the moment of the question, of which the answer speaks. */
  #granted(ask: number): undefined {
    const moment = this.#asked.get(ask)
    for (const earlier of this.#asked.keys()) if (earlier <= ask) this.#asked.delete(earlier)
    if (moment) this.#term.renew(moment)
  }
}
