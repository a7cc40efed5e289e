/** The orchestration of a pull: what is here is served, what is not is fetched once. */
import type { Holdings } from '../index/local/holdings.ts'
import type { Store } from '../store/store.ts'
import { Blobs } from './blobs.ts'
import type { PullDeps } from './deps.ts'
import { Flights } from './flights/flights.ts'
import { pushedSource } from './flights/shared-source.ts'
import { Lent } from './lent.ts'
import { Links } from './links.ts'
import { Listings } from './listings.ts'
import { type Elsewhere, LocalPull } from './local.ts'
import { Absences } from './manifests/absences.ts'
import { Manifests } from './manifests/manifests.ts'
import { linked, missed } from './provenance.ts'
import { Verdicts } from './verdicts.ts'

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
  /** Whom upstreams let have what, where they decide for each caller. */
  readonly verdicts: Verdicts
  /** Ends the flights, keeping their bytes, and waits for what is being stored. */
  stop(): Promise<void>
}

export function createPull(
  given: Omit<PullDeps, 'absences' | 'verdicts'> & { readonly holdings: Holdings },
): Pull {
  const verdicts = new Verdicts(given.clock)
  const deps: PullDeps = { ...given, absences: new Absences(given.clock), verdicts }
  const flights = new Flights(deps)
  const manifests = new Manifests(deps)
  return {
    manifests,
    blobs: new Blobs(deps, flights),
    lent: new Lent(deps, flights, manifests.questions),
    listings: new Listings(deps),
    flights,
    verdicts,
    local: new LocalPull({ ...given, elsewhere: pushedElsewhere(given.store, flights) }),
    stop: () => flights.stop(),
  }
}

/** What replicas have pushed lies in the object store: it comes here as what an upstream gives. */
function pushedElsewhere(store: Store, flights: Flights): Elsewhere | undefined {
  const { shared } = store
  if (!shared) return undefined
  const links = new Links(store, flights)
  return {
    get isUp() {
      return shared.bytes.isUp
    },
    async link(digest, ask) {
      const found = await links.find('pushed', digest, ask)
      return found && { kind: 'link', url: found.url, provenance: linked }
    },
    drop: digest => store.drop(digest),
    async follow({ repository }, digest, { expectedSize, isHurried }) {
      const source = pushedSource(shared, repository, { isHurried })
      const bytes = flights.follow(digest, source, { expectedSize, unverified: false })
      try {
        return { kind: 'bytes', size: await bytes.size(), bytes, provenance: missed }
      } catch (error) {
        bytes.close()
        throw error
      }
    },
  }
}
