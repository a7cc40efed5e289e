/** The index made whole again beside everything else, after some of it was lost: who asks for all of something then need not wait. */
import type { Catalog } from '../../index/catalog.ts'
import type { Holdings } from '../../index/local/holdings.ts'
import { IndexLost, rebuildIndex } from '../../index/reindex.ts'
import type { Logger } from '../../observe/log.ts'
import type { Clock } from '../../runtime/clock.ts'
import { localRegistry } from '../../store/layout.ts'
import type { Store } from '../../store/store.ts'
import type { Life } from '../index-place.ts'

export interface CompletingDeps {
  readonly store: Store
  readonly catalog: Catalog
  readonly life: Life
  /** Others use the index too: it is whole as long as they find it so. */
  readonly isShared: boolean
  readonly holdings: Holdings
  readonly clock: Clock
  readonly log: Logger
  /** The stop. */
  readonly signal: AbortSignal
}

/** How often it is looked whether something was lost: pulls, and lists that are asked for, find out by themselves. */
const everyMs = 10_000
/** So many records are read at once, then so long none: requests go first. */
const pace = { records: 128, pauseMs: 50 }

export class Completing {
  readonly #deps: CompletingDeps
  /** Of the index when it was whole. */
  #life: string | undefined

  constructor(deps: CompletingDeps) {
    this.#deps = deps
  }

  /** Resolves when the signal ends it; never rejects. */
  async run(): Promise<void> {
    const { clock, signal, catalog, isShared, life } = this.#deps
    const begun = await life()
    const known = await catalog.index.repositories(localRegistry, { last: undefined, limit: 0 })
    if (isShared || known.answer !== 'unknown') this.#life = begun
    while (!signal.aborted) {
      await clock.sleep(everyMs, signal).catch(() => {}) // the stop ends the loop
      if (!signal.aborted) await this.#ifLost()
    }
  }

  /** An index in memory, for want of a disk, is not filled ahead of need. */
  async #ifLost(): Promise<void> {
    const { catalog, isShared, signal, log } = this.#deps
    const life = await this.#deps.life()
    if (isShared) this.#life ??= life // what was lost while nothing was known is found as it is asked for
    if (!catalog.index.up || life === this.#life) return
    try {
      const failed = (error: unknown) =>
        log.error({ err: error }, 'a part of the index could not be completed')
      const counted = await rebuildIndex(this.#deps, { signal, between: this.#pacing(), failed })
      log.info(counted, 'index completed from the records')
    } catch (error) {
      if (signal.aborted || error instanceof IndexLost) return // at its next turn
      log.error({ err: error }, 'the index could not be completed: it is, in parts, as they are asked for')
    }
    this.#life = life
  }

  #pacing(): () => Promise<void> {
    const { clock, signal } = this.#deps
    let records = 0
    return async () => {
      records += 1
      if (records % pace.records === 0) await clock.sleep(pace.pauseMs, signal)
    }
  }
}
