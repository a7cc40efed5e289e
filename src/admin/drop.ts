/** Cached copies dropped, so that the next pull asks upstream. Bytes stay until they are evicted: others may hold them too. */

import { fromDashed } from '../oci/digest.ts'
import type { Tag } from '../oci/name.ts'
import type { Reference } from '../oci/reference.ts'
import { keyOf, type Target } from '../pull/target.ts'
import type { RepositoryKey } from '../store/layout.ts'
import type { AdminDeps } from './deps.ts'

export interface Dropped {
  tags: number
  manifests: number
  /** Records by which the repository held blobs. */
  blobs: number
}

const atOnce = 100

/**
 * Resolves when nothing of it is answered from memory any more, by any server. Pulls that began before go on with what
 * they have, and nothing of what they asked is taken down as the tag's.
 */
export async function drop(
  deps: AdminDeps,
  target: Target,
  reference: Reference | undefined,
): Promise<Dropped> {
  const key = keyOf(target)
  const dropped = { tags: 0, manifests: 0, blobs: 0 }
  const tag = reference?.kind === 'tag' ? reference.tag : undefined
  deps.pull.manifests.forget(key, tag)
  try {
    if (reference) await dropOne(deps, key, { reference, dropped })
    else await dropAll(deps, key, dropped)
  } finally {
    deps.pull.manifests.forget(key, tag)
    await deps.changed(key)
  }
  return dropped
}

async function dropOne(
  { catalog }: AdminDeps,
  key: RepositoryKey,
  { reference, dropped }: { reference: Reference; dropped: Dropped },
): Promise<void> {
  if (reference.kind === 'tag') {
    if (!(await catalog.tag(key, reference.tag))) return
    await catalog.dropTag(key, reference.tag)
    dropped.tags += 1
    return
  }
  if (!(await catalog.manifest(key, reference.digest))) return
  await catalog.dropManifest(key, reference.digest)
  dropped.manifests += 1
}

async function dropAll(
  { catalog, cachedListings, store }: AdminDeps,
  key: RepositoryKey,
  dropped: Dropped,
): Promise<void> {
  const page = { last: undefined, limit: atOnce }
  /** The servers are told once, when all is done. */
  const removeTag = async (tag: Tag) => {
    await store.records.remove(store.layout.tag(key, tag))
    await catalog.index.dropTag(key, tag)
  }
  for (let tags = await cachedListings.tags(key, page); tags.length > 0; ) {
    for (const tag of tags) await removeTag(tag)
    dropped.tags += tags.length
    tags = await cachedListings.tags(key, { ...page, last: tags.at(-1) })
  }
  for (let held = await cachedListings.manifests(key, page); held.length > 0; ) {
    for (const { digest } of held) await catalog.dropManifest(key, digest)
    dropped.manifests += held.length
    held = await cachedListings.manifests(key, { ...page, last: held.at(-1)?.digest })
  }
  for await (const names of store.names.in(store.layout.blobs(key), atOnce)) {
    for (const digest of names.map(fromDashed).filter(found => found !== undefined)) {
      await catalog.dropBlob(key, digest)
      dropped.blobs += 1
    }
  }
  await catalog.index.dropRepository(key)
}
