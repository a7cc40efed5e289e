/** What a registry holds: repositories with tags, manifests and blobs. */
import type { Digest } from '../../src/oci/digest.ts'
import type { StoredBlob } from './bytes.ts'
import type { BlobPool } from './cdn.ts'
import type { Bundle, StoredManifest } from './content.ts'

export interface Repository {
  readonly tags: Map<string, Digest>
  readonly manifests: Map<Digest, StoredManifest>
  readonly blobs: Map<Digest, StoredBlob>
}

export class Holdings {
  readonly #repositories = new Map<string, Repository>()
  readonly #pool: BlobPool

  constructor(pool: BlobPool) {
    this.#pool = pool
  }

  find(repository: string): Repository | undefined {
    return this.#repositories.get(repository)
  }

  /** Adds everything in the bundle; the tag, if any, moves to its root. */
  put(repository: string, tag: string | undefined, bundle: Bundle): void {
    const { tags, manifests } = this.#open(repository)
    for (const manifest of bundle.manifests) manifests.set(manifest.digest, manifest)
    for (const blob of bundle.blobs) this.putBlob(repository, blob)
    if (tag !== undefined) tags.set(tag, bundle.digest)
  }

  putBlob(repository: string, blob: StoredBlob): void {
    this.#open(repository).blobs.set(blob.digest, blob)
    this.#pool.set(blob.digest, blob)
  }

  remove(repository: string, what: { tag?: string; manifest?: Digest; blob?: Digest }): void {
    const found = this.find(repository)
    if (!found) return
    if (what.tag !== undefined) found.tags.delete(what.tag)
    if (what.manifest !== undefined) found.manifests.delete(what.manifest)
    if (what.blob !== undefined) found.blobs.delete(what.blob)
  }

  removeRepository(repository: string): void {
    this.#repositories.delete(repository)
  }

  #open(repository: string): Repository {
    const known = this.#repositories.get(repository)
    if (known) return known
    const fresh: Repository = { tags: new Map(), manifests: new Map(), blobs: new Map() }
    this.#repositories.set(repository, fresh)
    return fresh
  }
}

export function manifestOf({ tags, manifests }: Repository, reference: string): StoredManifest | undefined {
  const digest = tags.get(reference) ?? (reference as Digest)
  return manifests.get(digest)
}
