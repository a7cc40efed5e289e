/** What every part of a push works with. */
import type { Catalog } from '../index/catalog.ts'
import type { Holdings } from '../index/local/holdings.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { LocalNamespace } from '../pull/target.ts'
import type { Clock } from '../runtime/clock.ts'
import type { RepositoryKey } from '../store/layout.ts'
import type { Store } from '../store/store.ts'
import type { Background } from '../stream/background.ts'
import type { Room } from '../stream/room.ts'
import type { Quotas } from './quotas.ts'

export interface PushLimits {
  /** Bytes of the largest blob. */
  readonly uploadBytes: number
  /** How long a session is kept that nobody goes on with. */
  readonly uploadIdleMs: number
  /** Sessions open at once. */
  readonly uploads: number
}

export interface PushDeps {
  readonly store: Store
  readonly holdings: Holdings
  /** What proxied repositories hold, for mounts from them. */
  readonly catalog: Catalog
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly background: Background
  readonly limits: PushLimits
  /** For bodies that are held whole. */
  readonly room: Room
  /** The namespace of a local repository; undefined where none has it any more. */
  readonly namespaceOf: (key: RepositoryKey) => LocalNamespace | undefined
}

/** What the parts of a push share. */
export interface PushParts extends PushDeps {
  readonly quotas: Quotas
}
