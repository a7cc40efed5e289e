/** Replicas that answer local names from memory by the owner's leave: told of a change before it is written. */
import type { Clock } from '../../runtime/clock.ts'
import { keyText, type RepositoryKey } from '../../store/layout.ts'
import type { Told } from './lease.ts'
import { leaseGivenMs, type Standing } from './ownership.ts'

/** The way to one leaseholder. */
export interface Holder {
  /** Of its process: one that comes anew has dropped all it had. */
  readonly id: string
  /** Which connection of that process it is, in the order in which they were begun: one that was given up may come late. */
  readonly turn: number
  /** In order; may be lost when it is gone. */
  readonly tell: (told: Told) => void
  /** It is told nothing more. */
  readonly close: () => void
}

export class Leaseholders {
  readonly #clock: Clock
  readonly #sessions = new Set<Session>()
  /** Those whose connection ended, who may not know it yet. */
  readonly #strays = new Set<Stray>()
  readonly #changing = new Map<string, { readonly key: RepositoryKey; count: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @param term under which leave is given */
  add(holder: Holder, term: Standing): Session {
    const isEarlier = ({ id, turn }: Connection) => id === holder.id && turn < holder.turn
    for (const stray of this.#strays) if (isEarlier(stray.holder)) this.#strays.delete(stray)
    for (const other of this.#sessions) if (isEarlier(other.holder)) other.leave()
    const session = new Session({
      holder,
      term,
      clock: this.#clock,
      closed: until => this.#closed(session, until),
    })
    this.#sessions.add(session)
    const changing = [...this.#changing.values()].flatMap(({ key, count }) =>
      Array.from({ length: count }, () => key),
    )
    holder.tell({ kind: 'known', changing })
    return session
  }

  /** Resolves when nobody answers for the repository from memory any more. */
  async begin(key: RepositoryKey): Promise<void> {
    const name = keyText(key)
    const entry = this.#changing.get(name) ?? { key, count: 0 }
    entry.count += 1
    this.#changing.set(name, entry)
    await Promise.all([...[...this.#sessions].map(session => session.change(key)), this.#straysEnded()])
  }

  end(key: RepositoryKey): void {
    const name = keyText(key)
    const entry = this.#changing.get(name)
    if (entry) entry.count -= 1
    if (entry?.count === 0) this.#changing.delete(name)
    for (const session of this.#sessions) session.tell({ kind: 'changed', key })
  }

  /** No leave is given any more. Resolves when nobody answers by any that was. */
  async dismiss(): Promise<void> {
    await Promise.all([...this.#sessions].map(session => session.dismiss()))
    await this.#straysEnded()
  }

  #closed(session: Session, until: number): void {
    this.#sessions.delete(session)
    this.#forgetStrays()
    if (until > this.#clock.monotonic()) this.#strays.add({ holder: session.holder, until })
  }

  /** Resolves when the leases of those there are now have ended. */
  async #straysEnded(): Promise<void> {
    await Promise.all(
      [...this.#strays].map(({ until }) => this.#clock.sleep(Math.max(0, until - this.#clock.monotonic()))),
    )
    this.#forgetStrays()
  }

  #forgetStrays(): void {
    const now = this.#clock.monotonic()
    for (const stray of this.#strays) if (stray.until <= now) this.#strays.delete(stray)
  }
}

type Connection = Pick<Holder, 'id' | 'turn'>

interface Stray {
  readonly holder: Connection
  /** When its lease ends, by our clock. */
  readonly until: number
}

interface SessionDeps {
  readonly holder: Holder
  readonly term: Standing
  readonly clock: Clock
  /** @param until when its lease counts */
  readonly closed: (until: number) => void
}

/** One leaseholder's connection. */
export class Session {
  readonly #deps: SessionDeps
  /** Changes of which its word is awaited. */
  readonly #owed = new Map<number, () => void>()
  #count = 0
  /** By our clock. */
  #until = Number.NEGATIVE_INFINITY
  #isClosed = false

  constructor(deps: SessionDeps) {
    this.#deps = deps
  }

  get holder(): Connection {
    return this.#deps.holder
  }

  /** It asks for leave. While it owes a word it gets none, so that no change waits for ever. */
  ask(ask: number): void {
    const { term, clock, holder } = this.#deps
    if (this.#isClosed || this.#owed.size > 0) return
    if (!term.holds) {
      this.close()
      return
    }
    this.#until = clock.monotonic() + leaseGivenMs
    holder.tell({ kind: 'granted', ask })
  }

  /** It has taken in everything up to that number: a word that got lost is made up for by the next. */
  done(change: number): void {
    for (const [number, heard] of this.#owed) {
      if (number > change) continue
      this.#owed.delete(number)
      heard()
    }
  }

  /** Resolves with its word, or at the end of its lease. */
  async change(key: RepositoryKey): Promise<void> {
    await this.#word(change => ({ kind: 'changing', change, key }))
  }

  /** As `change`, of everything. */
  async dismiss(): Promise<void> {
    if (await this.#word(change => ({ kind: 'over', change }))) this.#until = Number.NEGATIVE_INFINITY
    this.close()
  }

  /** Resolves with whether it came before the lease had ended. */
  async #word(telling: (change: number) => Told): Promise<boolean> {
    const { clock } = this.#deps
    this.#count += 1
    const { promise, resolve } = Promise.withResolvers<boolean>()
    this.#owed.set(this.#count, () => resolve(true))
    this.tell(telling(this.#count))
    const left = this.#until - clock.monotonic()
    if (left <= 0) return false
    const heard = new AbortController()
    const over = clock.sleep(left, heard.signal).then(
      () => false,
      () => true, // its word came first
    )
    try {
      return await Promise.race([promise, over])
    } finally {
      heard.abort()
    }
  }

  tell(told: Told): void {
    if (!this.#isClosed) this.#deps.holder.tell(told)
  }

  /** It says that it has forgotten everything. */
  leave(): void {
    this.#until = Number.NEGATIVE_INFINITY
    for (const heard of this.#owed.values()) heard()
    this.close()
  }

  /** What it was told last may not have arrived: its lease counts to its end. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#deps.closed(this.#until)
    this.#deps.holder.close()
  }
}
