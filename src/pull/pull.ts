/** The orchestration of a pull: what is here is served, what is not is fetched once. */
import type { Holdings } from '../index/local/holdings.ts'
import { Absences } from './absences.ts'
import { Blobs } from './blobs.ts'
import type { PullDeps } from './deps.ts'
import { Flights } from './flights.ts'
import { Lent } from './lent.ts'
import { Listings } from './listings.ts'
import { LocalPull } from './local.ts'
import { Manifests } from './manifests.ts'

export interface Pull {
  readonly manifests: Manifests
  readonly blobs: Blobs
  readonly listings: Listings
  /** Blobs on their way here. */
  readonly flights: Pick<Flights, 'all'>
  /** What other replicas are given. */
  readonly lent: Lent
  /** What was pushed here. */
  readonly local: LocalPull
  /** Ends the flights, keeping their bytes, and waits for what is being stored. */
  stop(): Promise<void>
}

export function createPull(given: Omit<PullDeps, 'absences'> & { readonly holdings: Holdings }): Pull {
  const deps: PullDeps = { ...given, absences: new Absences(given.clock) }
  const flights = new Flights(deps)
  const manifests = new Manifests(deps)
  return {
    manifests,
    blobs: new Blobs(deps, flights),
    lent: new Lent(deps, flights, manifests.questions),
    listings: new Listings(deps),
    flights,
    local: new LocalPull(given),
    stop: () => flights.stop(),
  }
}
