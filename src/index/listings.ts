/** Listings as the index knows them, which is completed from the records where it does not know them whole. */
import type { Digest } from '../oci/digest.ts'
import type { Descriptor } from '../oci/manifest.ts'
import type { Tag } from '../oci/name.ts'
import type { RepositoryKey } from '../store/layout.ts'
import type { Completion, Filler } from './completion.ts'
import type { Answer, HeldManifest, Index, Page, Whole } from './index.ts'

export interface ListingsDeps {
  readonly index: Index
  readonly completion: Completion
  readonly filler: Filler
}

/** Everything is in byte order. @throws RegistryError UNAVAILABLE (503) while the completion takes long */
export class Listings {
  readonly #deps: ListingsDeps

  constructor(deps: ListingsDeps) {
    this.#deps = deps
  }

  tags(key: RepositoryKey, page: Page): Promise<readonly Tag[]> {
    return this.#whole(key, 'tags', () => this.#deps.index.tags(key, page))
  }

  tagsOf(key: RepositoryKey, digest: Digest): Promise<readonly Tag[]> {
    return this.#whole(key, 'tags', () => this.#deps.index.tagsOf(key, digest))
  }

  manifests(key: RepositoryKey, page: Page<Digest>): Promise<readonly HeldManifest[]> {
    return this.#whole(key, 'manifests', () => this.#deps.index.manifests(key, page))
  }

  parentsOf(key: RepositoryKey, child: Digest): Promise<readonly Digest[]> {
    return this.#whole(key, 'manifests', () => this.#deps.index.parentsOf(key, child))
  }

  referrers(key: RepositoryKey, subject: Digest, page: Page<Digest>): Promise<readonly Descriptor[]> {
    const ask = () => this.#deps.index.referrers(key, subject, page)
    return this.#whole(key, { referrersOf: subject }, ask)
  }

  #whole<T>(
    key: RepositoryKey,
    what: Whole,
    ask: () => Promise<Answer<readonly T[]>>,
  ): Promise<readonly T[]> {
    const { completion, filler } = this.#deps
    return completion.untilKnown(async () => {
      const found = await ask()
      if (found.answer !== 'unknown') return found.answer === 'present' ? found.value : []
      if (!(await completion.hasFolder(key, what))) return []
      await completion.listing(key, what, filler)
      return undefined
    })
  }
}
