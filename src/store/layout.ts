/**
 * Where things lie in the store:
 *
 *     format.json                       {"v":1}
 *     lock                              held by the process that owns the store
 *     cached/<alg>/ab/<hex>             bytes from upstreams; ab: the first two hex digits, so that no folder gets huge
 *     partial/<alg>-<hex>.<flight>      bytes on their way, with <…>.note beside them
 *     trash/                            whatever is being deleted
 *     names/<registry>/<name>/_tags/<tag> _manifests/<alg>-<hex> _blobs/<alg>-<hex> _referrers/<subject>/<alg>-<hex>
 *     index.sqlite                      rebuildable
 */
import { join } from 'node:path'
import { algorithmOf, type Digest, dashed, hexOf } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/name.ts'

/** A repository of one registry; `registry` is `_local` for local namespaces. */
export interface RepositoryKey {
  readonly registry: string
  readonly repository: RepositoryName
}

export class Layout {
  readonly root: string

  constructor(root: string) {
    this.root = root
  }

  get format(): string {
    return join(this.root, 'format.json')
  }

  get lock(): string {
    return join(this.root, 'lock')
  }

  get index(): string {
    return join(this.root, 'index.sqlite')
  }

  get partials(): string {
    return join(this.root, 'partial')
  }

  get trash(): string {
    return join(this.root, 'trash')
  }

  get names(): string {
    return join(this.root, 'names')
  }

  cached(digest: Digest): string {
    const hex = hexOf(digest)
    return join(this.root, 'cached', algorithmOf(digest), hex.slice(0, 2), hex)
  }

  partial(digest: Digest, flight: string): string {
    return join(this.partials, `${dashed(digest)}.${flight}`)
  }

  tag(key: RepositoryKey, tag: Tag): string {
    return join(this.#repository(key), '_tags', tag)
  }

  manifest(key: RepositoryKey, digest: Digest): string {
    return join(this.#repository(key), '_manifests', dashed(digest))
  }

  blob(key: RepositoryKey, digest: Digest): string {
    return join(this.#repository(key), '_blobs', dashed(digest))
  }

  referrer(key: RepositoryKey, subject: Digest, referrer: Digest): string {
    return join(this.#repository(key), '_referrers', dashed(subject), dashed(referrer))
  }

  #repository(key: RepositoryKey): string {
    return join(this.names, key.registry, key.repository)
  }
}
