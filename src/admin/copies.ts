/** What is here of an image: where its tag points, what its manifest lists, and which of that is stored. */
import type { BlobEntry, ManifestEntry, Page, TagEntry } from '../index/index.ts'
import type { Listings } from '../index/listings.ts'
import type { Digest } from '../oci/digest.ts'
import { type Descriptor, viewManifest } from '../oci/manifest.ts'
import type { Tag } from '../oci/name.ts'
import type { Reference } from '../oci/reference.ts'
import { freshMs, isFresh } from '../pull/manifests/freshness.ts'
import { type CachePolicy, keyOf, localKey } from '../pull/target.ts'
import type { Resolved } from '../resolve/resolve.ts'
import type { RepositoryKey } from '../store/layout.ts'
import type { AdminDeps } from './deps.ts'
import { timeOf } from './route.ts'

/** One place where an image may be: what was pushed, or what an upstream gave. */
interface Place {
  readonly key: RepositoryKey
  readonly source: 'push' | 'upstream'
  /** Of an upstream. */
  readonly policy: CachePolicy | undefined
  readonly entries: {
    tag(key: RepositoryKey, tag: Tag): Promise<TagEntry | undefined>
    manifest(key: RepositoryKey, digest: Digest): Promise<ManifestEntry | undefined>
    blob(key: RepositoryKey, digest: Digest): Promise<BlobEntry | undefined>
  }
  readonly listings: Listings
  readonly stored: {
    size(digest: Digest): Promise<number | undefined>
    read(digest: Digest): Promise<Buffer | undefined>
  }
}

/** How many files are looked at together. */
const atOnce = 16

/** In the order in which a pull looks. */
export async function copiesOf(
  deps: AdminDeps,
  resolved: Resolved,
  asked: { readonly reference: Reference | undefined; readonly page: Page },
) {
  const copies = []
  for (const place of placesOf(deps, resolved)) {
    const copy = await copyAt(deps, place, asked)
    const { registry, repository } = place.key
    if (copy) copies.push({ source: place.source, registry, repository, ...copy })
  }
  return copies
}

function placesOf(
  { store, catalog, holdings, cachedListings }: AdminDeps,
  { local, upstream }: Resolved,
): Place[] {
  const { listings } = holdings
  const pushed = { policy: undefined, entries: holdings, listings, stored: store.pushed }
  const cached = { entries: catalog, listings: cachedListings, stored: store }
  return [
    ...(local ? [{ key: localKey(local), source: 'push' as const, ...pushed }] : []),
    ...(upstream
      ? [{ key: keyOf(upstream), source: 'upstream' as const, policy: upstream.policy, ...cached }]
      : []),
  ]
}

async function copyAt(
  deps: AdminDeps,
  place: Place,
  { reference, page }: { reference: Reference | undefined; page: Page },
) {
  const { key, entries, listings } = place
  if (!reference) {
    const tags = await listings.tags(key, page)
    const [any] = tags.length > 0 ? tags : await listings.manifests(key, { last: undefined, limit: 1 })
    return any === undefined ? undefined : { tags: [...tags] }
  }
  if (reference.kind === 'digest') {
    const manifest = await manifestAt(place, reference.digest)
    return manifest && { manifest }
  }
  const entry = await entries.tag(key, reference.tag)
  if (!entry) return undefined
  const manifest = await manifestAt(place, entry.digest)
  return { tag: tagAt(deps, place, reference.tag, entry), ...(manifest ? { manifest } : {}) }
}

function tagAt({ clock }: AdminDeps, { policy }: Place, name: Tag, entry: TagEntry) {
  const { digest, mediaType, size = null, movedAt, checkedAt, missingSince } = entry
  const pointed = { name, digest, mediaType, size, movedAt: timeOf(movedAt) }
  if (!policy) return pointed
  return {
    ...pointed,
    checkedAt: timeOf(checkedAt),
    missingSince: timeOf(missingSince),
    isFresh: isFresh(entry, policy, name, clock.now()),
    freshUntil: freshUntil(checkedAt, freshMs(policy, name)),
  }
}

/** Null: for ever. */
function freshUntil(checkedAt: number, lastsMs: number): string | null {
  return timeOf(Number.isFinite(lastsMs) ? checkedAt + lastsMs : undefined)
}

async function manifestAt(place: Place, digest: Digest) {
  const { key, entries, stored } = place
  const entry = await entries.manifest(key, digest)
  if (!entry) return undefined
  const { mediaType, size, artifactType = null, subject = null, at, pulledAt } = entry
  const storedSize = (await stored.size(digest)) ?? null
  const body = storedSize === size ? await stored.read(digest) : undefined
  const view = body && viewManifest(body)
  return {
    digest,
    mediaType,
    size,
    storedSize,
    artifactType,
    subject,
    arrivedAt: timeOf(at),
    pulledAt: timeOf(pulledAt),
    manifests: await contentsAt(view?.manifests ?? [], async child => ({
      isHeld: (await entries.manifest(key, child)) !== undefined,
      storedSize: (await stored.size(child)) ?? null,
    })),
    blobs: await contentsAt(view?.blobs ?? [], async child => ({
      isHeld: (await entries.blob(key, child)) !== undefined,
      storedSize: (await stored.size(child)) ?? null,
    })),
  }
}

interface Here {
  isHeld: boolean
  storedSize: number | null
}

async function contentsAt(listed: readonly Descriptor[], look: (digest: Digest) => Promise<Here>) {
  const contents = []
  for (let at = 0; at < listed.length; at += atOnce) {
    const some = listed.slice(at, at + atOnce).map(async ({ digest, mediaType, size }) => {
      return { digest, mediaType, size, ...(await look(digest)) }
    })
    contents.push(...(await Promise.all(some)))
  }
  return contents
}
