/** Garbage collected beside everything else, whenever it is due. */
import type { Report } from '../../collect/run.ts'
import type { Logger } from '../../observe/log.ts'
import type { Clock } from '../../runtime/clock.ts'

export interface CollectingDeps {
  readonly collect: () => Promise<Report>
  /** 0: never. */
  readonly everyMs: () => number
  readonly clock: Clock
  readonly log: Logger
}

/** A start has other things to do. */
const firstAfterMs = 3_600_000

export class Collecting {
  readonly #deps: CollectingDeps
  #endedAt: number | undefined
  readonly #startedAt: number

  constructor(deps: CollectingDeps) {
    this.#deps = deps
    this.#startedAt = deps.clock.monotonic()
  }

  /** Resolves when there is nothing to collect now, or the signal ends it; never rejects. */
  async ifDue(signal: AbortSignal): Promise<void> {
    const { collect, clock, log } = this.#deps
    if (!this.#isDue()) return
    try {
      const report = await collect()
      log.info(report, 'garbage of pushed content collected')
    } catch (error) {
      if (!signal.aborted) log.error({ err: error }, 'garbage of pushed content could not be collected')
    }
    this.#endedAt = clock.monotonic()
  }

  #isDue(): boolean {
    const everyMs = this.#deps.everyMs()
    const now = this.#deps.clock.monotonic()
    if (everyMs === 0) return false
    return this.#endedAt === undefined
      ? now - this.#startedAt >= Math.min(everyMs, firstAfterMs)
      : now - this.#endedAt >= everyMs
  }
}
