/** Fills the index from the store's records, and marks what it then knows whole. */
import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/name.ts'
import { localRegistry, type RepositoryKey } from '../store/layout.ts'
import type { Store } from '../store/store.ts'
import type { Catalog } from './catalog.ts'
import type { Filler } from './completion.ts'
import { holdsAny, repositoriesOf } from './folders.ts'
import type { Listing } from './index.ts'
import type { Holdings } from './local/holdings.ts'

export interface Counted {
  repositories: number
  tags: number
  manifests: number
  blobs: number
}

/** Referrers of proxied repositories are upstream's to list: nobody puts them here. */
const proxiedListings: readonly Listing[] = ['tags', 'manifests', 'blobs']
const localListings: readonly Listing[] = [...proxiedListings, 'referrers']

/** The index lost what it was being filled with, or has no file to keep it in. */
export class IndexLost extends Error {
  override readonly name = 'IndexLost'
}

export interface ReindexDeps {
  readonly store: Store
  readonly catalog: Catalog
  readonly holdings: Holdings
}

/**
 * Reads every record that the index does not know, one repository after the other.
 *
 * @throws IndexLost, or what the disk answers for a record that cannot be read: its listing is not marked
 */
export async function rebuildIndex({ store, catalog, holdings }: ReindexDeps): Promise<Counted> {
  const { index } = catalog
  const { epoch } = index
  const counted: Counted = { repositories: 0, tags: 0, manifests: 0, blobs: 0 }
  for await (const key of repositoriesOf(store.layout)) {
    const isLocal = key.registry === localRegistry
    const filler = counting(isLocal ? holdings : catalog, counted)
    for (const listing of isLocal ? localListings : proxiedListings)
      await holdings.completion.complete(key, listing, filler)
    if (await holdsAny(store.layout, key)) counted.repositories += 1
  }
  await holdings.completion.completeRepositories()
  await index.flush()
  if (index.epoch !== epoch || !index.up)
    throw new IndexLost('the index could not be kept on disk: see the log, and run it again')
  return counted
}

function counting(filler: Filler, counted: Counted): Filler {
  const count = async (what: Listing & keyof Counted, found: Promise<unknown>) => {
    if (await found) counted[what] += 1
  }
  return {
    tag: (key: RepositoryKey, tag: Tag) => count('tags', filler.tag(key, tag)),
    manifest: (key: RepositoryKey, digest: Digest) => count('manifests', filler.manifest(key, digest)),
    blob: (key: RepositoryKey, digest: Digest) => count('blobs', filler.blob(key, digest)),
    referrer: async (key, subject, digest) => filler.referrer?.(key, subject, digest),
  }
}
