/** The orchestration of a pull: what is here is served, what is not is fetched once. */
import type { Catalog } from '../index/catalog.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Store } from '../store/store.ts'
import type { Background } from '../stream/background.ts'
import { Absences } from './absences.ts'
import { Blobs } from './blobs.ts'
import { Flights } from './flights.ts'
import { Listings } from './listings.ts'
import { Manifests } from './manifests.ts'

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
}

export interface Pull {
  readonly manifests: Manifests
  readonly blobs: Blobs
  readonly listings: Listings
  /** Ends the flights, keeping their bytes, and waits for what is being stored. */
  stop(): Promise<void>
}

export function createPull(given: Omit<PullDeps, 'absences'>): Pull {
  const deps: PullDeps = { ...given, absences: new Absences(given.clock) }
  const flights = new Flights(deps)
  return {
    manifests: new Manifests(deps),
    blobs: new Blobs(deps, flights),
    listings: new Listings(deps),
    async stop() {
      await flights.stop()
      await deps.background.settled()
    },
  }
}
