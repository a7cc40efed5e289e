/** Which repositories anything is held of, proxied and local, under their full names. */
import type { Logger } from '../observe/log.ts'
import type { RepositoryName } from '../oci/name.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Store } from '../store/store.ts'
import type { Index, Page } from './index.ts'

export interface RepositoriesDeps {
  readonly index: Index
  readonly store: Store
  readonly clock: Clock
  readonly log: Logger
}

/** Everything throws RegistryError UNAVAILABLE (503) while the index does not know them whole. */
export class Repositories {
  constructor(_deps: RepositoriesDeps) {}

  /** Full names in byte order: `docker.io/library/nginx`, `local/team/app`. */
  page(_page: Page): Promise<readonly string[]> {
    throw new Error('not yet')
  }

  /** Names of one registry (`_local`: of local repositories) in byte order. */
  of(_registry: string, _page: Page): Promise<readonly RepositoryName[]> {
    throw new Error('not yet')
  }

  count(_registry: string): Promise<number> {
    throw new Error('not yet')
  }

  /** Ends what runs behind. */
  stop(): Promise<void> {
    throw new Error('not yet')
  }
}
