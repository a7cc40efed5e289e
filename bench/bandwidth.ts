/** A link of limited speed, shared by all connections of the origin. */
import { setTimeout as pause } from 'node:timers/promises'
import { nowMs } from './monotonic.ts'

/** What a late timer may catch up with; no more, since a real link saves nothing up. */
const burstMs = 20

export class Bandwidth {
  /** Bytes a second; 0 is unlimited. */
  rate = 0
  #freeAtMs = 0

  /** Resolves when the link may take the bytes. */
  async take(bytes: number): Promise<void> {
    if (this.rate === 0) return
    const now = nowMs()
    const startMs = Math.max(this.#freeAtMs, now - burstMs)
    this.#freeAtMs = startMs + (bytes / this.rate) * 1000
    if (startMs - now >= 1) await pause(startMs - now)
  }
}
