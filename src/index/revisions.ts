/** The manifests that a repository holds, with what points at them and when they came and were last asked for. */
import { setImmediate } from 'node:timers/promises'
import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/name.ts'
import { localRegistry, type RepositoryKey } from '../store/layout.ts'
import type { Catalog } from './catalog.ts'
import type { Page } from './index.ts'
import { Listings } from './listings.ts'
import type { Holdings } from './local/holdings.ts'

/** Read at a time: few, since each brings its annotations along. */
const batchSize = 8

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
  /** What proxied repositories hold. */
  readonly catalog: Catalog
  /** What local repositories hold. */
  readonly holdings: Holdings
}

export class Revisions {
  readonly #local: Listings
  readonly #proxied: Listings

  constructor({ catalog, holdings }: RevisionsDeps) {
    const { index } = catalog
    const { completion } = holdings
    this.#local = holdings.listings
    this.#proxied = new Listings({ index, completion, filler: catalog })
  }

  /** In byte order of the digests. @throws RegistryError UNAVAILABLE (503) while the index is being completed */
  async page(key: RepositoryKey, { last, limit }: Page<Digest>): Promise<readonly RevisionEntry[]> {
    const listings = key.registry === localRegistry ? this.#local : this.#proxied
    const revisions: RevisionEntry[] = []
    for (;;) {
      const page = {
        last: revisions.at(-1)?.digest ?? last,
        limit: Math.min(batchSize, limit - revisions.length),
      }
      const batch = await listings.manifests(key, page)
      for (const { digest, entry } of batch) {
        const { mediaType, at, pulledAt } = entry
        const tags = await listings.tagsOf(key, digest)
        const parents = await listings.parentsOf(key, digest)
        revisions.push({ digest, mediaType, tags, parents, at, pulledAt })
      }
      if (batch.length < batchSize) return revisions
      await setImmediate() // others get their turn
    }
  }
}
