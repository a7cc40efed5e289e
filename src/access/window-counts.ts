/**
 * How often something happened within the last so many milliseconds, by key: counted here at once, and told to the
 * other processes every 250 ms, as long as there is something to tell.
 */
import { createHash } from 'node:crypto'
import type { SharedCounts } from '../cluster/counts.ts'
import type { Clock } from '../runtime/clock.ts'
import { latest } from '../runtime/latest.ts'

export interface WindowCountsDeps {
  /** Tells them from the counts of others. */
  readonly name: string
  readonly windowMs: number
  readonly clock: Clock
  /** Undefined: this process is alone. */
  readonly shared?: SharedCounts | undefined
}

/** Of one window, and of the one before: windows begin at the same moment in every process. */
interface Entry {
  window: number
  current: number
  previous: number
  /** Of `current`, what the others have not been told. */
  untold: number
}

/** More are not kept: those that nothing happened to for longest are forgotten. */
const maxKeys = 20_000
const exchangeMs = 250
/** The rest is told the next time. */
const keysAtOnce = 500
/** Who has not answered by then does not count. */
const answerMs = 2_000

export class WindowCounts {
  readonly #deps: WindowCountsDeps
  readonly #entries = latest<string, Entry>(maxKeys)
  /** Keys to tell of, or to ask for. */
  readonly #due = new Set<string>()
  readonly #closing = new AbortController()
  #isExchanging = false

  constructor(deps: WindowCountsDeps) {
    this.#deps = deps
  }

  add(key: string): void {
    const entry = this.#entries.get(key)
    const window = this.#window
    if (entry) turn(entry, window)
    const counted = entry ?? { window, current: 0, previous: 0, untold: 0 }
    counted.current += 1
    counted.untold += 1
    if (!entry) this.#entries.set(key, counted)
    this.#tell(key)
  }

  /** Has the other processes asked: what they counted is part of what is told here soon. */
  ask(key: string): void {
    this.#tell(key)
  }

  /** Within the last window. What happened in the window before is taken for spread evenly over it. */
  of(key: string): number {
    const entry = this.#entries.get(key)
    if (!entry) return 0
    turn(entry, this.#window)
    return entry.current + entry.previous * (1 - this.#elapsed)
  }

  /** Milliseconds until there are less than so many; 0: there are. */
  waitMs(key: string, limit: number): number {
    const { windowMs } = this.#deps
    const count = this.of(key)
    const entry = this.#entries.get(key)
    if (!entry || count < limit) return 0
    const { current, previous } = entry
    const windows =
      current < limit ? 1 - (limit - current) / previous - this.#elapsed : 2 - limit / current - this.#elapsed
    return Math.floor(windows * windowMs) + 1
  }

  close(): void {
    this.#closing.abort()
  }

  get #window(): number {
    return Math.floor(this.#deps.clock.now() / this.#deps.windowMs)
  }

  /** Of the current window, from 0 to 1. */
  get #elapsed(): number {
    return (this.#deps.clock.now() / this.#deps.windowMs) % 1
  }

  #tell(key: string): void {
    if (!this.#deps.shared || this.#due.size >= maxKeys) return
    this.#due.add(key)
    if (this.#isExchanging) return
    this.#isExchanging = true
    void this.#exchangeAll(this.#deps.shared)
  }

  /** Until nothing is due. */
  async #exchangeAll(shared: SharedCounts): Promise<void> {
    const { signal } = this.#closing
    while (this.#due.size > 0 && !signal.aborted) {
      await this.#deps.clock.sleep(exchangeMs, signal).catch(() => {}) // the end of it all
      if (!signal.aborted) await this.#exchange(shared).catch(() => {}) // what was to be told is lost to the others
    }
    this.#isExchanging = false
  }

  async #exchange(shared: SharedCounts): Promise<void> {
    const { windowMs } = this.#deps
    const window = this.#window
    const told = new Map<string, string>()
    const increments = new Map<string, number>()
    for (const key of [...this.#due].slice(0, keysAtOnce)) {
      this.#due.delete(key)
      const name = this.#nameOf(key, window)
      told.set(name, key)
      increments.set(name, this.#takeUntold(key, window))
    }
    const totals = await this.#inTime(shared.exchange(increments, 2 * windowMs))
    for (const [name, total] of totals) this.#heard(told.get(name), total, window)
  }

  #takeUntold(key: string, window: number): number {
    const entry = this.#entries.peek(key)
    if (!entry) return 0
    turn(entry, window)
    const { untold } = entry
    entry.untold = 0
    return untold
  }

  #heard(key: string | undefined, total: number, window: number): void {
    if (key === undefined || total === 0) return
    const entry = this.#entries.peek(key) ?? { window, current: 0, previous: 0, untold: 0 }
    if (entry.window === window) entry.current = Math.max(entry.current, total + entry.untold)
    if (entry.window === window + 1) entry.previous = Math.max(entry.previous, total)
    this.#entries.set(key, entry)
  }

  async #inTime<T>(asked: Promise<T>): Promise<T> {
    const answered = new AbortController()
    const late = this.#deps.clock.sleep(answerMs, answered.signal).then(() => {
      throw new Error(`no answer within ${answerMs} ms`)
    })
    late.catch(() => {}) // told to who waits, or it was in time
    try {
      return await Promise.race([asked, late])
    } finally {
      answered.abort()
    }
  }

  /** The key itself, a user's name or an address, is nobody else's business. */
  #nameOf(key: string, window: number): string {
    const { name, windowMs } = this.#deps
    return `${name}:${windowMs}:${window}:${createHash('sha256').update(key).digest('base64url')}`
  }
}

/** A clock that was set counts from nothing. */
function turn(entry: Entry, window: number): void {
  if (entry.window === window) return
  entry.previous = entry.window + 1 === window ? entry.current : 0
  entry.current = 0
  entry.untold = 0
  entry.window = window
}
