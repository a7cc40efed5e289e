/** Fills the index from the store's records, and marks what it then knows whole. */
import { type Digest, isDigest } from '../oci/digest.ts'
import { viewManifest } from '../oci/manifest.ts'
import { isRepositoryName, isTag } from '../oci/name.ts'
import type { RepositoryKey } from '../store/layout.ts'
import type { Store } from '../store/store.ts'
import type { Catalog } from './catalog.ts'
import type { Listing } from './index.ts'

export interface Counted {
  repositories: number
  tags: number
  manifests: number
  blobs: number
}

/** Referrers of proxied repositories are upstream's to list: nobody puts them here. */
const listings: readonly Listing[] = ['tags', 'manifests', 'blobs']

/** The index lost what it was being filled with, or has no file to keep it in. */
export class IndexLost extends Error {
  override readonly name = 'IndexLost'
}

/**
 * Reads every record once. Marks a repository complete only after the last record of all was read.
 *
 * @throws IndexLost
 */
export async function rebuildIndex(store: Store, catalog: Catalog): Promise<Counted> {
  const repositories = new Map<string, RepositoryKey>()
  const { index } = catalog
  const { epoch } = index
  const counted: Counted = { repositories: 0, tags: 0, manifests: 0, blobs: 0 }
  for await (const segments of store.records.walk()) {
    const found = parseRecordPath(segments)
    if (!found) continue
    repositories.set(`${found.key.registry}/${found.key.repository}`, found.key)
    await indexRecord(found, { store, catalog, counted })
  }
  for (const key of repositories.values()) {
    for (const listing of listings) await index.markComplete(key, listing, epoch)
  }
  counted.repositories = repositories.size
  await index.flush()
  if (index.epoch !== epoch || !index.up)
    throw new IndexLost('the index could not be kept on disk: see the log, and run it again')
  return counted
}

interface Found {
  key: RepositoryKey
  folder: string
  name: string
}

async function indexRecord({ key, folder, name }: Found, { store, catalog, counted }: Target): Promise<void> {
  if (folder === '_tags' && isTag(name)) {
    if (await catalog.tag(key, name)) counted.tags += 1
    return
  }
  const digest = name.replace('-', ':')
  if (!isDigest(digest)) return
  if (folder === '_blobs' && (await catalog.blob(key, digest))) counted.blobs += 1
  if (folder === '_manifests' && (await catalog.manifest(key, digest))) {
    counted.manifests += 1
    await indexChildren(key, digest, { store, catalog })
  }
}

interface Target {
  store: Store
  catalog: Catalog
  counted: Counted
}

async function indexChildren(
  key: RepositoryKey,
  digest: Digest,
  { store, catalog }: Omit<Target, 'counted'>,
): Promise<void> {
  const body = await store.read(digest)
  const view = body && viewManifest(body)
  if (view) await catalog.index.putChildren(key, [...view.blobs, ...view.manifests])
}

/** `<registry>/<name …>/<folder>/<record>`; undefined for anything else that lies there. */
function parseRecordPath(segments: readonly string[]): Found | undefined {
  const at = segments.findIndex(segment => segment.startsWith('_') && segment !== '_local')
  const [registry, ...components] = segments.slice(0, at)
  const [folder, name, ...more] = segments.slice(at)
  const repository = components.join('/')
  if (registry === undefined || folder === undefined || name === undefined || more.length > 0)
    return undefined
  return isRepositoryName(repository) ? { key: { registry, repository }, folder, name } : undefined
}
