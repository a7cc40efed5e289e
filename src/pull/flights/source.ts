/**
 * Where a flight's bytes come from: our own upstream request, the object store (shared-source.ts), or another replica
 * (nearer.ts).
 */
import type { BlobEntry } from '../../index/index.ts'
import type { Digest } from '../../oci/digest.ts'
import type { BlobBody } from '../../upstream/upstream.ts'
import type { UpstreamFailure } from '../../upstream/upstream-error.ts'
import type { PullDeps } from '../deps.ts'
import { keyOf, scopeOf, type Target } from '../target.ts'
import type { Visibility } from '../visibility.ts'

export interface Source {
  /** Names the (repository, credential) that a refusal speaks of. */
  readonly scope: string
  /** For metrics and messages. */
  readonly name: string
  /** It asks an object store that all replicas share: who fetched the blob lately may be nearer, the others' disks are not. */
  readonly isShared?: boolean
  /** Bytes from `first` on. Rejects with an UpstreamError; the body errors with one when it breaks. */
  open(digest: Digest, ask: { first: number; attempt: number; signal: AbortSignal }): Promise<BlobBody>
  /** Whether its repository holds the blob, as is known here or upstream says. Rejects with an UpstreamError. */
  confirm(digest: Digest): Promise<BlobEntry>
  /** The source gave the whole blob and it was right: its repository holds it from now on. */
  served(digest: Digest, served: Served): Promise<void>
  /** What it gave does not have the digest. */
  wrong?(digest: Digest): void
  /** The body broke, or does not belong to the blob; what `open` rejects with is not told again. */
  broke?(failure: UpstreamFailure): void
}

export interface Served {
  readonly size: number
  readonly anonymous: boolean
  /** The last of it came from another replica, which has the whole too. */
  readonly isBorrowed: boolean
}

/** The target's own upstream as a source. */
export function upstreamSource(deps: PullDeps, target: Target, visibility: Visibility): Source {
  const { upstream, repository } = target
  return {
    scope: scopeOf(target),
    name: upstream.registry,
    open: (digest, { first, attempt, signal }) =>
      upstream.openBlob(repository, digest, { attempt, signal, ...(first > 0 ? { range: { first } } : {}) }),
    confirm: async digest => (await visibility.known(target, digest)) ?? visibility.confirm(target, digest),
    async served(digest, { size, anonymous, isBorrowed }) {
      deps.store.shared?.bytes.offer(digest, { isBorrowed })
      await deps.catalog.putBlob(keyOf(target), digest, {
        size,
        isPublic: anonymous && upstream.options.access === 'public',
      })
    },
    broke: reason => deps.metrics.upstreamErrors.inc({ upstream: upstream.registry, reason }),
  }
}
