/** The manifests that a repository holds, with what points at them and when they came and were last asked for. */
import type { Logger } from '../observe/log.ts'
import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/name.ts'
import type { Clock } from '../runtime/clock.ts'
import type { RepositoryKey } from '../store/layout.ts'
import type { Store } from '../store/store.ts'
import type { Catalog } from './catalog.ts'
import type { Holdings } from './holdings.ts'
import type { Page } from './index.ts'

export interface RevisionEntry {
  readonly digest: Digest
  readonly mediaType: string
  readonly tags: readonly Tag[]
  /** Manifests of the repository that list it. */
  readonly parents: readonly Digest[]
  /** When it came. Milliseconds since the epoch, as all times. */
  readonly at: number
  /** When it was last asked for, as of the last hour; undefined: never since it came. */
  readonly pulledAt: number | undefined
}

export interface RevisionsDeps {
  readonly catalog: Catalog
  readonly holdings: Holdings
  readonly store: Store
  readonly clock: Clock
  readonly log: Logger
}

export class Revisions {
  constructor(_deps: RevisionsDeps) {}

  /** In byte order of the digests. @throws RegistryError UNAVAILABLE (503) while the index is being completed */
  page(_key: RepositoryKey, _page: Page<Digest>): Promise<readonly RevisionEntry[]> {
    throw new Error('not yet')
  }
}
