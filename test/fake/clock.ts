/** A clock that only moves when a test says so. */
import type { Clock } from '../../src/runtime/clock.ts'

interface Sleeper {
  dueAt: number
  wake: () => void
}

export class FakeClock implements Clock {
  #elapsedMs = 0
  readonly #startMs: number
  readonly #sleepers = new Set<Sleeper>()
  readonly #watchers = new Set<() => void>()

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#startMs = startMs
  }

  now(): number {
    return this.#startMs + this.#elapsedMs
  }

  monotonic(): number {
    return this.#elapsedMs
  }

  /** How many sleeps are under way. */
  get sleeping(): number {
    return this.#sleepers.size
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason as Error)
    if (ms <= 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#sleepers.delete(sleeper)
        signal?.removeEventListener('abort', abort)
      }
      const abort = () => {
        leave()
        reject(signal?.reason as Error)
      }
      const wake = () => {
        leave()
        resolve()
      }
      const sleeper = { dueAt: this.#elapsedMs + ms, wake }
      signal?.addEventListener('abort', abort)
      this.#sleepers.add(sleeper)
      for (const watcher of this.#watchers) watcher()
    })
  }

  /** Moves time forward and ends the sleeps that are due, the earliest first. */
  advance(ms: number): void {
    this.#elapsedMs += ms
    const due = [...this.#sleepers].filter(sleeper => sleeper.dueAt <= this.#elapsedMs)
    for (const sleeper of due.sort((a, b) => a.dueAt - b.dueAt)) sleeper.wake()
  }

  /** Resolves once at least `count` sleeps are under way, so that a test advances neither too early nor in vain. */
  untilSleeping(count = 1): Promise<void> {
    if (this.sleeping >= count) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const finish = () => {
        clearTimeout(bound)
        this.#watchers.delete(look)
      }
      const look = () => {
        if (this.sleeping < count) return
        finish()
        resolve()
      }
      const bound = setTimeout(() => {
        finish()
        reject(new Error(`waited 10 s for ${count} sleeps, saw ${this.sleeping}`))
      }, 10_000)
      this.#watchers.add(look)
    })
  }
}
