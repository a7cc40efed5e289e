/** The store scrubbed beside everything else, whenever it is due. */
import type { Logger } from '../../observe/log.ts'
import type { Clock } from '../../runtime/clock.ts'
import { isSound, type Report } from '../../scrub/run.ts'
import type { Scrub } from '../../scrub/scrub.ts'

export interface ScrubbingDeps {
  readonly scrub: { run(): Promise<Report> } & Pick<Scrub, 'last'>
  /** 0: never. */
  readonly everyMs: () => number
  readonly clock: Clock
  readonly log: Logger
}

/** A start has other things to do. */
const firstAfterMs = 3_600_000

export class Scrubbing {
  readonly #deps: ScrubbingDeps
  readonly #startedAt: number
  #isRunning = false

  constructor(deps: ScrubbingDeps) {
    this.#deps = deps
    this.#startedAt = deps.clock.monotonic()
  }

  /** Resolves when there is nothing to do now, or the signal ends it; never rejects. */
  async ifDue(signal: AbortSignal): Promise<void> {
    if (this.#isRunning) return
    this.#isRunning = true
    const { scrub, log } = this.#deps
    try {
      if (!(await this.#isDue())) return
      const report = await scrub.run()
      if (isSound(report)) log.info(report, 'store scrubbed')
      else log.error(report, 'store scrubbed: what was pushed is not whole, see above')
    } catch (error) {
      if (!signal.aborted) log.error({ err: error }, 'the store could not be scrubbed')
    } finally {
      this.#isRunning = false
    }
  }

  /** It takes hours: how long ago the last one ended is told by the store, over any number of starts. */
  async #isDue(): Promise<boolean> {
    const { scrub, clock } = this.#deps
    const everyMs = this.#deps.everyMs()
    if (everyMs === 0 || clock.monotonic() - this.#startedAt < Math.min(everyMs, firstAfterMs)) return false
    const endedAt = (await scrub.last())?.endedAt
    if (endedAt === undefined) return true
    const agoMs = clock.now() - endedAt
    return agoMs >= everyMs || agoMs < 0 // the clock was wrong
  }
}
