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

  constructor() {
    super('the index could not be kept on disk: see the log, and run it again')
  }
}

export interface ReindexDeps {
  readonly store: Store
  readonly catalog: Catalog
  readonly holdings: Holdings
}

export interface RebuildOptions {
  readonly signal?: AbortSignal
  /** Waited for after each record. */
  readonly between?: () => Promise<void>
  /** Told of a listing that cannot be read, which is then left as it is; without it the first one ends all. */
  readonly failed?: (error: unknown) => void
}

/**
 * Reads every record that the index does not know, one repository after the other.
 *
 * @throws IndexLost, the signal's reason, or what the disk answers for a record that cannot be read: its listing is not marked
 */
export async function rebuildIndex(
  { store, catalog, holdings }: ReindexDeps,
  { signal, between, failed }: RebuildOptions = {},
): Promise<Counted> {
  const { index } = catalog
  const { completion } = holdings
  const { epoch } = index
  const counted: Counted = { repositories: 0, tags: 0, manifests: 0, blobs: 0 }
  const after = async () => {
    signal?.throwIfAborted()
    await between?.()
  }
  await completion.completeRepositories() // soon done, and asked for by who wants to see everything
  for await (const key of repositoriesOf(store)) {
    const isLocal = key.registry === localRegistry
    const filler = counting(isLocal ? holdings : catalog, counted, after)
    for (const listing of isLocal ? localListings : proxiedListings) {
      if (index.epoch !== epoch) throw new IndexLost()
      await completion.complete(key, listing, filler).catch((error: unknown) => {
        if (!failed || signal?.aborted) throw error
        failed(error)
      })
    }
    if (await holdsAny(store, key)) counted.repositories += 1
  }
  await index.flush()
  if (index.epoch !== epoch || !index.up) throw new IndexLost()
  return counted
}

function counting(filler: Filler, counted: Counted, after: () => Promise<void>): Filler {
  const count = async (what: Listing & keyof Counted, found: Promise<unknown>) => {
    if (await found) counted[what] += 1
    await after()
  }
  return {
    tag: (key: RepositoryKey, tag: Tag) => count('tags', filler.tag(key, tag)),
    manifest: (key: RepositoryKey, digest: Digest) => count('manifests', filler.manifest(key, digest)),
    blob: (key: RepositoryKey, digest: Digest) => count('blobs', filler.blob(key, digest)),
    referrer: async (key, subject, digest) => filler.referrer?.(key, subject, digest),
  }
}
