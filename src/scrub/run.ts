/** What one scrub works with, and what it tells. */
import type { Catalog } from '../index/catalog.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Digest } from '../oci/digest.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Store } from '../store/store.ts'
import type { Pace } from './pace.ts'

export interface ScrubDeps {
  readonly store: Store
  readonly catalog: Catalog
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  /** Read at most so many; 0: no limit. */
  readonly bytesPerSecond: () => number
  /** How old records of upstreams are before they go without their bytes. */
  readonly orphansAfterMs?: number
  /** Pushed bytes are in quarantine, and not to be given any more. */
  readonly quarantined?: (digest: Digest) => void
}

/** What was found, and in a dry run left as it is. */
export interface Report {
  /** Files whose digest was computed, and their bytes. */
  files: number
  bytes: number
  /** Cached files that were damaged, and are gone. */
  dropped: number
  /** Pushed files that were damaged, and lie in quarantine. */
  quarantined: number
  /** Records of local repositories that name what is not here, or not of the size they tell. */
  missing: number
  /** Files among the records of local repositories that are no such records. */
  malformed: number
  /** Records of upstreams that were no records, or have been without their bytes for long, and are gone. */
  records: number
  /** Files that could not be checked, or not be put away: the log has each. */
  unchecked: number
}

export interface Finding {
  readonly kind: 'cached' | 'pushed' | 'record' | 'quarantine'
  /** A digest or a path. */
  readonly name: string
  readonly repository?: string
  readonly reason: string
}

export interface ScrubOptions {
  /** Nothing is changed, and the whole store is looked at. */
  readonly dryRun?: boolean
  readonly signal?: AbortSignal
  /** Told of each thing that is not as it should be. */
  readonly told?: (finding: Finding) => void
}

export interface Run extends ScrubDeps {
  readonly dryRun: boolean
  readonly signal: AbortSignal
  readonly told: (finding: Finding) => void
  readonly pace: Pace
  readonly report: Report
}

export const nothingYet: Report = {
  files: 0,
  bytes: 0,
  dropped: 0,
  quarantined: 0,
  missing: 0,
  malformed: 0,
  records: 0,
  unchecked: 0,
}

/** Whether all that was pushed is as it should be. */
export function isSound({ quarantined, missing, malformed, unchecked }: Report): boolean {
  return quarantined + missing + malformed + unchecked === 0
}
