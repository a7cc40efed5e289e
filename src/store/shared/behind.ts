/** Work for the object store that nobody waits for: once for each key, a few at a time, and again when it failed. */
import { once } from 'node:events'
import type { Logger } from '../../observe/log.ts'
import { Quiet } from '../../observe/quiet.ts'
import type { Clock } from '../../runtime/clock.ts'
import { Signal } from '../../stream/signal.ts'
import { ObjectsFailure } from '../objects.ts'
import { restMs } from './tier.ts'

export interface BehindDeps {
  readonly clock: Clock
  readonly log: Logger
  /** Tasks at once. */
  readonly atOnce: number
  /** Keys that wait; of more than that the oldest are forgotten. */
  readonly max: number
}

export class Behind {
  readonly #deps: BehindDeps
  readonly #quiet: Quiet
  readonly #waiting = new Map<string, () => Promise<void>>()
  readonly #working = new Set<string>()
  readonly #done = new Signal()
  readonly #closing = new AbortController()
  #workers = 0

  constructor(deps: BehindDeps) {
    this.#deps = deps
    this.#quiet = new Quiet(deps.clock)
  }

  /** It waits or is being worked on. */
  has(key: string): boolean {
    return this.#waiting.has(key) || this.#working.has(key)
  }

  /** Resolves when nothing waits any more, or at the signal. */
  async settled(signal: AbortSignal): Promise<void> {
    const ended = once(signal, 'abort')
    while (this.#workers > 0 && !signal.aborted) await Promise.race([this.#done.next(), ended])
  }

  /** In place of a task that waits under the same key. */
  add(key: string, task: () => Promise<void>): void {
    this.#waiting.delete(key)
    this.#waiting.set(key, task)
    const [oldest] = this.#waiting.keys()
    if (this.#waiting.size > this.#deps.max && oldest !== undefined) {
      this.#waiting.delete(oldest)
      this.#quiet.say('full', () =>
        this.#deps.log.warn(
          { waiting: this.#deps.max },
          'more waits to be put into the object store than is kept in mind: some of it is not put there',
        ),
      )
    }
    if (this.#workers < this.#deps.atOnce) void this.#work()
  }

  close(): void {
    this.#waiting.clear()
    this.#closing.abort(new Error('the store is closed'))
  }

  async #work(): Promise<void> {
    this.#workers += 1
    for (let next = this.#next(); next; next = this.#next()) {
      const [key, task] = next
      this.#working.add(key)
      try {
        await task()
      } catch (error) {
        await this.#failed(key, task, error)
      } finally {
        this.#working.delete(key)
      }
    }
    this.#workers -= 1
    this.#done.fire()
  }

  #next(): [string, () => Promise<void>] | undefined {
    const [next] = this.#waiting
    if (next) this.#waiting.delete(next[0])
    return next
  }

  async #failed(key: string, task: () => Promise<void>, error: unknown): Promise<void> {
    const { signal } = this.#closing
    if (signal.aborted) return
    if (!(error instanceof ObjectsFailure)) {
      this.#quiet.say('other', () =>
        this.#deps.log.error(
          { key, err: error },
          'what is on the disk could not be put into the object store',
        ),
      )
      return
    }
    if (!this.#waiting.has(key)) this.#waiting.set(key, task)
    await this.#deps.clock.sleep(restMs, signal).catch(() => {}) // closed: nothing waits any more
  }
}
