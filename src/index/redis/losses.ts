/** Keys that a write of ours may not have reached: nothing of theirs is believed before they are put right. */
import { type Redis, type RedisClient, RedisDown } from '../../cluster/redis/redis.ts'
import type { Clock } from '../../runtime/clock.ts'

/** Takes away what may be old. */
export type Mend = (client: RedisClient) => Promise<unknown>

export interface LossesDeps {
  readonly redis: Redis
  readonly clock: Clock
  /** There are too many to be remembered one by one: everything has to be doubted. */
  readonly overflowed: () => void
}

const most = 10_000
const atOnce = 50
const retryMs = 1000

interface Loss {
  readonly nth: number
  readonly mend: Mend
}

export class Losses {
  readonly #deps: LossesDeps
  readonly #lost = new Map<string, Loss>()
  readonly #closing = new AbortController()
  #count = 0
  #isMending = false

  constructor(deps: LossesDeps) {
    this.#deps = deps
  }

  /** Of all writes that may have been lost so far. */
  get count(): number {
    return this.#count
  }

  get isEmpty(): boolean {
    return this.#lost.size === 0
  }

  has(key: string): boolean {
    return this.#lost.has(key)
  }

  add(key: string, mend: Mend): void {
    this.#count += 1
    this.#lost.set(key, { nth: this.#count, mend })
    if (this.#lost.size > most) {
      this.#lost.clear()
      this.#deps.overflowed()
    }
    void this.#mendAll()
  }

  close(): void {
    this.#closing.abort()
  }

  /** Never rejects. Once a second while Redis is down. */
  async #mendAll(): Promise<void> {
    if (this.#isMending) return
    this.#isMending = true
    const { signal } = this.#closing
    while (!this.isEmpty && !signal.aborted) {
      const some = [...this.#lost].slice(0, atOnce)
      const mended = await Promise.all(some.map(([key, loss]) => this.#mend(key, loss)))
      if (mended.includes(false)) await this.#deps.clock.sleep(retryMs, signal).catch(() => {}) // closed
    }
    this.#isMending = false
  }

  async #mend(key: string, { nth, mend }: Loss): Promise<boolean> {
    try {
      await this.#deps.redis.ask(mend)
    } catch (error) {
      if (error instanceof RedisDown) return false
      throw error
    }
    if (this.#lost.get(key)?.nth === nth) this.#lost.delete(key)
    return true
  }
}
