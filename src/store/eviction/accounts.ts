/** The accounts of what is cached: opened with the store, made anew where they may be wrong, and closed with it. */
import { stat, statfs } from 'node:fs/promises'
import type { Logger } from '../../observe/log.ts'
import type { Metrics } from '../../observe/metrics.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Contents } from '../contents.ts'
import { ifThere } from '../files/system-error.ts'
import type { Layout } from '../layout.ts'
import { Capacity, type CapacityLimits, type Space } from './capacity.ts'
import { takeCensus } from './census.ts'
import type { LeftFiles } from './left-files.ts'
import { UsageTable } from './usage-table.ts'
import { Uses } from './uses.ts'

export interface CapacityOptions {
  readonly limits: () => CapacityLimits
  /** Blobs that are never evicted. */
  readonly isPinned?: (digest: Digest) => boolean
  /** Resolves when it is known what is pinned: nothing is evicted before. */
  readonly pinsKnown?: () => Promise<void>
  /** Nothing is evicted from then on. */
  readonly stopping?: AbortSignal
}

export interface AccountsDeps extends CapacityOptions {
  readonly layout: Layout
  readonly contents: Contents
  readonly left: LeftFiles
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  /** Told of what was evicted. */
  readonly dropped: (digest: Digest, isGone: boolean) => void
}

export class Accounts {
  readonly capacity: Capacity
  readonly uses: Uses
  readonly #deps: AccountsDeps
  readonly #table: UsageTable
  /** Every cached file is known. */
  #isComplete: boolean

  constructor(deps: AccountsDeps) {
    const { layout, contents, left, isPinned = () => false, pinsKnown = async () => {}, dropped } = deps
    const { stopping = new AbortController().signal } = deps
    const table = UsageTable.open(layout.usage, err =>
      deps.log.warn(
        { path: layout.usage, err },
        'what was known of the use of cached content is lost: it goes by the age of its files, and counts for no upstream',
      ),
    )
    this.#deps = deps
    this.#table = table
    this.#isComplete = table.isComplete
    this.uses = new Uses(deps.clock, digests => this.capacity.used(digests))
    this.capacity = new Capacity({
      ...deps,
      table,
      leftOvers: left,
      pinsKnown,
      stopping,
      isThere: async digest => (await ifThere(stat(layout.cached(digest))))?.isFile() === true,
      space: () => spaceOf(layout.root),
      stays: digest => contents.isRead(digest) || isPinned(digest),
      tellUses: () => this.uses.flush(),
      remove: async digest => {
        await contents.remove(digest)
        dropped(digest, true)
      },
    })
  }

  /** Looks for what is not known. Resolves when all is, or at the signal; a disk that cannot be read is told of. */
  async complete(signal: AbortSignal): Promise<void> {
    if (this.#isComplete) return
    const { layout, log } = this.#deps
    const { capacity } = this
    try {
      await takeCensus({
        folder: layout.cachedBytes,
        table: this.#table,
        found: (digest, sizeBytes, modifiedAt) => capacity.found(digest, sizeBytes, modifiedAt),
        missing: digest => capacity.gone(digest),
        signal,
      })
      this.#isComplete = true
    } catch (err) {
      if (!signal.aborted)
        log.error(
          { err },
          'what is cached could not be counted: it may be more than store.maxSize until the next start',
        )
    }
  }

  /** For a scrape. */
  measure(): void {
    const { metrics } = this.#deps
    const area = { area: 'cached' }
    const { bytes, blobs } = this.capacity.total
    metrics.storeBytes.set(area, bytes)
    metrics.storeObjects.set(area, blobs)
  }

  close(): void {
    this.uses.flush()
    this.#table.close(this.#isComplete)
  }
}

/** A disk that does not tell is taken for large enough: writing shows. */
async function spaceOf(path: string): Promise<Space> {
  try {
    const { bsize, blocks, bavail } = await statfs(path)
    return { total: blocks * bsize, free: bavail * bsize }
  } catch {
    return { total: 0, free: Number.POSITIVE_INFINITY }
  }
}
