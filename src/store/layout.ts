/**
 * Where things lie in the store:
 *
 *     format.json                       {"v":1,"id":…}: the format, and what tells this store from another
 *     bucket.json                       the id of the bucket that this is the cache of, where there is one
 *     lock                              held by the process that owns the store
 *     running                           stands while the store is open, touched each minute
 *     cached/<alg>/ab/<hex>             bytes from upstreams; ab: the first two hex digits, so that no folder gets huge
 *     pushed/<alg>/ab/<hex>             bytes from pushes and mounts, some of them hard links of cached ones
 *     partial/<alg>-<hex>.<flight>      bytes on their way, with <…>.note beside them
 *     uploads/<id>/session.json data    bytes being pushed, and whose they are
 *     trash/                            whatever is being deleted
 *     quarantine/<alg>-<hex>            pushed bytes that were found damaged, until a person deletes them
 *     scrub.json                        how far the last look through all of it came
 *     names/<registry>/<name>/_tags/<tag> _manifests/<alg>-<hex> _blobs/<alg>-<hex> _referrers/<subject>/<alg>-<hex>
 *     pins.json                         cached content that somebody pinned
 *     token-key                         what the key of registry tokens is derived from, where none is configured
 *     index.sqlite usage.sqlite         rebuildable
 *     admin.sock                        of the process that serves the store
 */
import { join } from 'node:path'
import { algorithmOf, type Digest, dashed, hexOf } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/name.ts'

/** Stands where the registry's name would, for repositories of local namespaces. */
export const localRegistry = '_local'

/** A repository of one registry, or of a local namespace. */
export interface RepositoryKey {
  readonly registry: string
  readonly repository: RepositoryName
}

/** The folders of bytes, below `cached/` and `pushed/`, in the order in which they are gone through: `sha256/00` and so on. */
export const shards: readonly string[] = ['sha256', 'sha512'].flatMap(algorithm =>
  Array.from({ length: 256 }, (_, nth) => `${algorithm}/${nth.toString(16).padStart(2, '0')}`),
)

/** The one that the digest's bytes belong into. */
export function shardOf(digest: Digest): string {
  return `${algorithmOf(digest)}/${hexOf(digest).slice(0, 2)}`
}

/** For maps. A space stands in no registry and in no name. */
export function keyText({ registry, repository }: RepositoryKey): string {
  return `${registry} ${repository}`
}

export function isSameRepository(one: RepositoryKey, other: RepositoryKey): boolean {
  return one.registry === other.registry && one.repository === other.repository
}

export class Layout {
  readonly root: string
  readonly #areas: Readonly<Record<'cached' | 'pushed', string>>

  constructor(root: string) {
    this.root = root
    this.#areas = { cached: join(root, 'cached'), pushed: join(root, 'pushed') }
  }

  get format(): string {
    return join(this.root, 'format.json')
  }

  /** Which bucket the disk is the cache of. */
  get bucket(): string {
    return join(this.root, 'bucket.json')
  }

  get lock(): string {
    return join(this.root, 'lock')
  }

  get index(): string {
    return join(this.root, 'index.sqlite')
  }

  /** Stands while a process has the store. */
  get life(): string {
    return join(this.root, 'running')
  }

  /** When cached bytes were used. */
  get usage(): string {
    return join(this.root, 'usage.sqlite')
  }

  /** With a folder for each algorithm. */
  get cachedBytes(): string {
    return this.#areas.cached
  }

  get partials(): string {
    return join(this.root, 'partial')
  }

  get uploads(): string {
    return join(this.root, 'uploads')
  }

  get trash(): string {
    return join(this.root, 'trash')
  }

  get quarantine(): string {
    return join(this.root, 'quarantine')
  }

  get scrub(): string {
    return join(this.root, 'scrub.json')
  }

  /** Pins that somebody asked for. */
  get pins(): string {
    return join(this.root, 'pins.json')
  }

  /** For nobody but us. */
  get tokenKey(): string {
    return join(this.root, 'token-key')
  }

  get names(): string {
    return join(this.root, 'names')
  }

  /** The names of local repositories. */
  get localNames(): string {
    return join(this.names, localRegistry)
  }

  /** With a folder for each algorithm. */
  get pushedBytes(): string {
    return this.#areas.pushed
  }

  cached(digest: Digest): string {
    return this.#content('cached', digest)
  }

  pushed(digest: Digest): string {
    return this.#content('pushed', digest)
  }

  quarantined(digest: Digest): string {
    return join(this.quarantine, dashed(digest))
  }

  /** The folder of an upload session. */
  upload(id: string): string {
    return join(this.uploads, id)
  }

  partial(digest: Digest, flight: string): string {
    return join(this.partials, `${dashed(digest)}.${flight}`)
  }

  repository(key: RepositoryKey): string {
    return join(this.names, key.registry, key.repository)
  }

  tags(key: RepositoryKey): string {
    return join(this.repository(key), '_tags')
  }

  manifests(key: RepositoryKey): string {
    return join(this.repository(key), '_manifests')
  }

  blobs(key: RepositoryKey): string {
    return join(this.repository(key), '_blobs')
  }

  referrers(key: RepositoryKey, subject: Digest): string {
    return join(this.repository(key), '_referrers', dashed(subject))
  }

  tag(key: RepositoryKey, tag: Tag): string {
    return join(this.tags(key), tag)
  }

  manifest(key: RepositoryKey, digest: Digest): string {
    return join(this.manifests(key), dashed(digest))
  }

  blob(key: RepositoryKey, digest: Digest): string {
    return join(this.blobs(key), dashed(digest))
  }

  referrer(key: RepositoryKey, subject: Digest, referrer: Digest): string {
    return join(this.referrers(key, subject), dashed(referrer))
  }

  #content(area: 'cached' | 'pushed', digest: Digest): string {
    return `${this.#areas[area]}/${shardOf(digest)}/${hexOf(digest)}`
  }
}
