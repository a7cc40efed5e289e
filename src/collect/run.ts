/** What one collection works with, and what it tells. */
import type { Holdings } from '../index/local/holdings.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { LocalNamespace } from '../pull/target.ts'
import type { Clock } from '../runtime/clock.ts'
import type { RepositoryKey } from '../store/layout.ts'
import type { Store } from '../store/store.ts'

export type Policy = Pick<LocalNamespace, 'immutableTags' | 'retention' | 'untaggedMs'>

export interface CollectionDeps {
  readonly store: Store
  readonly holdings: Holdings
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  /** Undefined where no namespace has the repository any more. */
  readonly policyOf: (key: RepositoryKey) => Policy | undefined
  /** How long what nothing lists, or no record names, is kept. */
  readonly graceMs: () => number
}

/** What went, or in a dry run would go. */
export interface Report {
  tags: number
  manifests: number
  /** Records by which repositories held blobs that none of their manifests lists. */
  blobs: number
  /** Files that no record named, and their bytes. */
  files: number
  bytes: number
  /** Tags that rules without `enforce` would have taken. */
  spared: number
  /** Repositories that could not be read, of which nothing but tags was taken. */
  skipped: number
}

export interface Finding {
  readonly kind: 'tag' | 'manifest' | 'blob' | 'bytes'
  /** Undefined for bytes. */
  readonly repository?: string
  /** The tag or digest. */
  readonly name: string
  readonly size?: number
  /** What has it go. */
  readonly reason: string
}

export interface CollectOptions {
  /** Nothing is changed, and no time that a record lacks is noted. */
  readonly dryRun?: boolean
  readonly signal?: AbortSignal
  /** Told of each thing that goes, or would. */
  readonly told?: (finding: Finding) => void
}

export interface Run extends CollectionDeps {
  readonly dryRun: boolean
  readonly signal: AbortSignal
  readonly told: (finding: Finding) => void
  /** Whether so much time has passed since then: never by a clock that was set just now. */
  readonly isPast: (sinceMs: number, forMs: number) => boolean
  readonly report: Report
  /** Paths of records that a dry run left where they are. */
  readonly doomed: Set<string>
}
