/** Locks by key, for one holder alone or for several together; who holds some may take only later ones in addition. */
import { Signal } from './signal.ts'

export interface LockKeys {
  /** Held by nobody else. */
  readonly exclusive?: readonly string[]
  /** Held by nobody exclusively. A key that is among both is exclusive. */
  readonly shared?: readonly string[]
}

/**
 * Runs the task while the keys are held, taken in sorted order. Within it, `deeper` holds more of them.
 *
 * @throws Error when `deeper` is asked for a key that does not sort after all that are held: it might wait for ever
 */
export type Hold = <T>(keys: LockKeys, task: (deeper: Hold) => Promise<T>) => Promise<T>

export class Locks {
  readonly #locks = new Map<string, Lock>()
  readonly #released = new Signal()

  readonly hold: Hold = (keys, task) => this.#hold(keys, '', task)

  /** Whether nobody holds or waits for anything. */
  get idle(): boolean {
    return this.#locks.size === 0
  }

  /** Resolves when nobody holds or waits for anything. */
  async settled(): Promise<void> {
    while (!this.idle) await this.#released.next()
  }

  async #hold<T>(keys: LockKeys, above: string, task: (deeper: Hold) => Promise<T>): Promise<T> {
    const wanted = inOrder(keys)
    const [first] = wanted[0] ?? []
    if (first !== undefined && first <= above) throw new Error(`${first} has to be held before ${above}`)
    const highest = wanted.at(-1)?.[0] ?? above
    const held: string[] = []
    try {
      for (const [key, isShared] of wanted) {
        await this.#lock(key).acquire(isShared)
        held.push(key)
      }
      return await task((more, then) => this.#hold(more, highest, then))
    } finally {
      for (const key of held) this.#release(key)
    }
  }

  #lock(key: string): Lock {
    const known = this.#locks.get(key)
    if (known) return known
    const lock = new Lock()
    this.#locks.set(key, lock)
    return lock
  }

  #release(key: string): void {
    const lock = this.#locks.get(key)
    lock?.release()
    if (lock?.idle) this.#locks.delete(key)
    this.#released.fire()
  }
}

function inOrder({ exclusive = [], shared = [] }: LockKeys): [key: string, isShared: boolean][] {
  const modes = new Map<string, boolean>()
  for (const key of shared) modes.set(key, true)
  for (const key of exclusive) modes.set(key, false)
  return [...modes].sort(([a], [b]) => (a < b ? -1 : 1))
}

/** First come, first served: nobody is passed by those who could share. */
class Lock {
  #sharing = 0
  #isTaken = false
  readonly #waiting: { readonly isShared: boolean; readonly enter: () => void }[] = []

  get idle(): boolean {
    return !this.#isTaken && this.#sharing === 0 && this.#waiting.length === 0
  }

  async acquire(isShared: boolean): Promise<void> {
    if (this.#waiting.length === 0 && this.#isOpen(isShared)) this.#enter(isShared)
    else await new Promise<void>(enter => this.#waiting.push({ isShared, enter }))
  }

  release(): void {
    if (this.#isTaken) this.#isTaken = false
    else this.#sharing -= 1
    for (let [next] = this.#waiting; next && this.#isOpen(next.isShared); [next] = this.#waiting) {
      this.#waiting.shift()
      this.#enter(next.isShared)
      next.enter()
    }
  }

  #isOpen(isShared: boolean): boolean {
    return !this.#isTaken && (isShared || this.#sharing === 0)
  }

  #enter(isShared: boolean): void {
    if (isShared) this.#sharing += 1
    else this.#isTaken = true
  }
}
