/** What is asked of whom: a repository of an upstream, with the rules under which it is cached. */
import type { RepositoryName } from '../oci/name.ts'
import type { RepositoryKey } from '../store/layout.ts'
import type { Upstream } from '../upstream/upstream.ts'

/** Times are milliseconds. */
export interface CachePolicy {
  /** First match wins; `Infinity`: never asked again, 0: asked each time. */
  readonly tags: readonly { readonly match: string; readonly freshMs: number }[]
  /** How long a tag list or a list of referrers is served without asking again. */
  readonly listingsFreshMs: number
  /** How old an unconfirmed tag may get while upstream does not answer. */
  readonly maxStaleMs: number
  /** How long a tag that upstream no longer has is served on. */
  readonly onNotFound: { readonly serveForMs: number }
  /** What a client gets when upstream is rate-limited and nothing is cached: 503, or upstream's 429. */
  readonly rateLimited: 'unavailable' | 'propagate'
  /** How long upstream's 404 is remembered. */
  readonly notFoundForMs: number
}

export interface Target {
  readonly upstream: Upstream
  readonly policy: CachePolicy
  readonly repository: RepositoryName
}

export function keyOf({ upstream, repository }: Target): RepositoryKey {
  return { registry: upstream.registry, repository }
}

/** Requests under one scope get one upstream answer: the same repository asked with the same credential. */
export function scopeOf({ upstream, repository }: Target): string {
  return `${upstream.registry}|${upstream.identity}|${repository}`
}
