/** Logins that wait for the thread: whoever failed least is next, and those who failed equally take turns. */
import { RegistryError } from '../../oci/errors.ts'
import { networkOf } from '../client-network.ts'
import type { Trying } from '../failures.ts'

export interface Waiting {
  readonly who: Trying
  /** On the monotonic clock. */
  readonly since: number
  readonly reject: (error: Error) => void
}

/** What decides about turns. */
export interface Standing {
  isKnown(who: Trying): boolean
  failuresOf(client: string): number
}

interface Line<T> {
  readonly waiting: T[]
  /** Failures of the address; before all of them who has logged in from there lately. */
  rank: number
}

/** More would not have their turn in time. */
const mostWaiting = 256
/** How long a login may wait; clients wait for 30 s and more. */
const longestMs = 15_000
const retryAfterMs = 5_000

export class LoginQueue<T extends Waiting> {
  readonly #standing: Standing
  readonly #now: () => number
  /** By client, and apart from its neighbours behind the same address who is known there. */
  readonly #lines = new Map<string, Line<T>>()
  #size = 0

  /** @param now milliseconds that never go back */
  constructor(standing: Standing, now: () => number) {
    this.#standing = standing
    this.#now = now
  }

  /** @throws RegistryError when too many wait who are no worse */
  add(waiting: T): void {
    const network = networkOf(waiting.who.client)
    const name = this.#standing.isKnown(waiting.who) ? `${network} ${waiting.who.user}` : network
    const line = this.#lines.get(name) ?? { waiting: [], rank: this.#rankOf(waiting) }
    if (this.#size >= mostWaiting) this.#makeRoom(line)
    this.#lines.set(name, line)
    line.waiting.push(waiting)
    this.#size += 1
  }

  /** Who is next. Those who have waited too long are told so. */
  take(): T | undefined {
    this.#dropLate()
    let next: [string, Line<T>] | undefined
    for (const entry of this.#lines) if (!next || entry[1].rank < next[1].rank) next = entry
    if (!next) return undefined
    const [name, line] = next
    const taken = this.#remove(name, line, 'shift')
    if (taken && line.waiting.length > 0) {
      this.#lines.delete(name)
      this.#lines.set(name, { ...line, rank: this.#rankOf(taken) })
    }
    return taken
  }

  clear(error: Error): void {
    for (const { waiting } of this.#lines.values()) for (const { reject } of waiting) reject(error)
    this.#lines.clear()
    this.#size = 0
  }

  #rankOf({ who }: T): number {
    return this.#standing.isKnown(who) ? -1 : this.#standing.failuresOf(who.client)
  }

  /** At the cost of the worst, or of the longest line among those that are no better. */
  #makeRoom({ rank, waiting }: Line<T>): void {
    let worst: [string, Line<T>] | undefined
    for (const entry of this.#lines) if (!worst || isWorse(entry[1], worst[1])) worst = entry
    if (!worst || !isWorse(worst[1], { rank, waiting: [...waiting, undefined] })) throw tooMany()
    this.#remove(...worst, 'pop')?.reject(tooMany())
  }

  #dropLate(): void {
    for (const [name, line] of this.#lines) {
      const late = line.waiting.findLastIndex(({ since }) => this.#now() - since >= longestMs)
      for (let count = 0; count <= late; count++) this.#remove(name, line, 'shift')?.reject(tooMany())
    }
  }

  #remove(name: string, { waiting }: Line<T>, end: 'shift' | 'pop'): T | undefined {
    const removed = waiting[end]()
    if (removed) this.#size -= 1
    if (waiting.length === 0) this.#lines.delete(name)
    return removed
  }
}

function isWorse(
  one: { rank: number; waiting: readonly unknown[] },
  other: { rank: number; waiting: readonly unknown[] },
): boolean {
  return one.rank === other.rank ? one.waiting.length > other.waiting.length : one.rank > other.rank
}

/** It is no fault of this client: whoever may ask elsewhere does so at 503, and others try again. */
function tooMany(): RegistryError {
  return new RegistryError('TOOMANYREQUESTS', 'too many logins at once: try again', {
    status: 503,
    retryAfterMs,
  })
}
