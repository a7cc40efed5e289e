/** What every part of a pull works with. */
import type { Replicas } from '../cluster/replicas.ts'
import type { Catalog } from '../index/catalog.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Digest } from '../oci/digest.ts'
import type { Clock } from '../runtime/clock.ts'
import type { RepositoryKey } from '../store/layout.ts'
import type { Store } from '../store/store.ts'
import type { Background } from '../stream/background.ts'
import type { Absences } from './manifests/absences.ts'
import type { Verdicts } from './verdicts.ts'

export interface PullLimits {
  /** Bytes of the largest manifest. */
  readonly manifestBytes: number
}

export interface PullDeps {
  readonly store: Store
  readonly catalog: Catalog
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly limits: PullLimits
  readonly background: Background
  readonly absences: Absences
  readonly verdicts: Verdicts
  /** Undefined: there are no others. */
  readonly replicas: Replicas | undefined
  /** Told of a manifest that was fetched, once it is in the store or was not taken. */
  readonly kept: (key: RepositoryKey, digest: Digest) => void
}
