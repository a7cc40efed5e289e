/** What the admin API works with. */
import type { Pins } from '../collect/pins.ts'
import type { Report as Collected, Finding as Garbage } from '../collect/run.ts'
import type { Catalog } from '../index/catalog.ts'
import type { Index } from '../index/index.ts'
import type { Listings } from '../index/listings.ts'
import type { Holdings } from '../index/local/holdings.ts'
import type { Pull } from '../pull/pull.ts'
import type { Push } from '../push/push.ts'
import type { Resolver } from '../resolve/resolve.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Finding as Damage, Report as Scrubbed } from '../scrub/run.ts'
import type { RepositoryKey } from '../store/layout.ts'
import type { Store } from '../store/store.ts'
import type { Job } from './job.ts'

export interface MayBeDry {
  readonly dryRun: boolean
}

/** Something is wrong with the new configuration, or it is in force now. */
export type Reloaded =
  | { readonly problems: readonly Problem[] }
  /** Keys that take effect at the next start. */
  | { readonly waiting: readonly string[] }

export interface Problem {
  readonly line: number | undefined
  readonly column: number | undefined
  readonly key: string
  readonly message: string
}

/** Frees cached bytes before their time. */
export interface Evicting {
  evict(bytes: number): Promise<{ readonly blobs: number; readonly bytes: number }>
}

export interface AdminDeps {
  readonly clock: Clock
  readonly store: Store
  readonly index: Index
  readonly catalog: Catalog
  readonly holdings: Holdings
  readonly pull: Pull
  readonly push: Push
  /** Of what upstreams gave. */
  readonly cachedListings: Listings
  /** In force at the moment. */
  readonly resolver: () => Resolver
  /** Something of the repository is not what it was: resolves when no server answers it from memory any more. */
  readonly changed: (key: RepositoryKey) => Promise<void>
  readonly collections: Job<MayBeDry, Garbage, Collected>
  readonly scrubs: Job<MayBeDry, Damage, Scrubbed>
  readonly pins: Pins
  /** Undefined where nothing is evicted. */
  readonly eviction: Evicting | undefined
  /** Undefined where there is no file to read again. */
  readonly reload: (() => Promise<Reloaded>) | undefined
  /** Keys of the configuration that take effect at the next start. */
  readonly waiting: () => readonly string[]
  /** Processes beside this one that take the connections of clients. */
  readonly servers: number
}
