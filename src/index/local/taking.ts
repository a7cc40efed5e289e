/** What a collection takes from local repositories. Decided by the records, once more under the locks of each write. */
import type { Digest } from '../../oci/digest.ts'
import type { Tag } from '../../oci/name.ts'
import type { RepositoryKey } from '../../store/layout.ts'
import type { Locks } from '../../stream/locks.ts'
import type { TagEntry } from '../index.ts'
import { contentLock, repositoryLock, tagLock } from './locks.ts'
import type { LocalRecords } from './records.ts'
import type { LocalWrites } from './writes.ts'

export interface TakingDeps {
  readonly locks: Locks
  readonly records: LocalRecords
  readonly writes: LocalWrites
  /** Something was taken: perhaps nothing is left. */
  readonly left: (key: RepositoryKey) => Promise<void>
}

/** Each resolves with whether, or how often, something was taken; what `isGarbage` denies stays. */
export class Taking {
  readonly #deps: TakingDeps

  constructor(deps: TakingDeps) {
    this.#deps = deps
  }

  tag(key: RepositoryKey, tag: Tag, isGarbage: (entry: TagEntry) => boolean): Promise<boolean> {
    const { locks, records, writes } = this.#deps
    const keys = { exclusive: [tagLock(key, tag)], shared: [repositoryLock(key)] }
    return this.#take(key, () =>
      locks.hold(keys, async () => {
        const entry = await records.readTag(key, tag)
        return entry !== undefined && isGarbage(entry) && writes.dropTag(key, tag)
      }),
    )
  }

  /** No tag points at it: with its entry among its subject's referrers. */
  manifest(key: RepositoryKey, digest: Digest, isGarbage: () => boolean): Promise<boolean> {
    const { locks, writes } = this.#deps
    const keys = { exclusive: [contentLock(key, digest)], shared: [repositoryLock(key)] }
    return this.#take(key, () =>
      locks.hold(keys, async () => {
        if (!isGarbage()) return false
        return writes.dropManifest(key, digest, { pointing: [], allow: () => {} })
      }),
    )
  }

  /** Writes down that no tag points at it, and since when; undefined: that it is used again. */
  untagged(
    key: RepositoryKey,
    digest: Digest,
    { since, isSo }: { since: number | undefined; isSo: () => boolean },
  ): Promise<void> {
    const { locks, records } = this.#deps
    return locks.hold({ exclusive: [contentLock(key, digest)] }, async () => {
      if (isSo()) await records.noteUntagged(key, digest, since)
    })
  }

  /** @param isGarbage with the time of the link */
  blobs(
    key: RepositoryKey,
    digests: readonly Digest[],
    isGarbage: (digest: Digest, at: number) => boolean,
  ): Promise<readonly Digest[]> {
    const { locks, records, writes } = this.#deps
    const keys = { exclusive: digests.map(digest => contentLock(key, digest)), shared: [repositoryLock(key)] }
    const take = () =>
      locks.hold(keys, async () => {
        const times = await Promise.all(digests.map(digest => records.blobAt(key, digest)))
        const garbage = digests.filter((digest, nth) => {
          const at = times[nth]
          return at !== undefined && isGarbage(digest, at)
        })
        if (garbage.length > 0) await writes.removeBlobs(key, garbage)
        return garbage
      })
    return this.#take(key, take, ({ length }) => length > 0)
  }

  async #take<T>(
    key: RepositoryKey,
    take: () => Promise<T>,
    some: (taken: T) => boolean = Boolean,
  ): Promise<T> {
    const taken = await take()
    if (some(taken)) await this.#deps.left(key)
    return taken
  }
}
