/** Reading what local repositories hold. Nobody else has it: what is damaged is an error, and never merely absent. */

import type { BlobEntry, ManifestEntry, Page } from '../index/index.ts'
import type { Holdings } from '../index/local/holdings.ts'
import type { Logger } from '../observe/log.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Descriptor } from '../oci/manifest.ts'
import type { Tag } from '../oci/name.ts'
import type { RangeSpec } from '../oci/range.ts'
import type { Reference } from '../oci/reference.ts'
import type { ReadableContents, StoredBlob } from '../store/contents.ts'
import type { Bytes } from '../stream/bytes.ts'
import { isAbsent } from '../upstream/upstream-error.ts'
import type { BlobAnswer, BlobHead, LinkedBlob } from './blobs.ts'
import type { LinkAsk } from './links.ts'
import type { ManifestAnswer } from './manifests/manifests.ts'
import { hit, type Provenance } from './provenance.ts'
import { disagree } from './sound.ts'
import { type Local, localKey } from './target.ts'

export interface LocalDeps {
  readonly holdings: Pick<
    Holdings,
    'tag' | 'manifest' | 'blob' | 'renew' | 'renewManifest' | 'exists' | 'tags' | 'referrers' | 'notePull'
  >
  readonly store: { readonly pushed: ReadableContents }
  readonly log: Logger
  /** Where bytes come from that the disk does not have; undefined: nobody else has them. */
  readonly elsewhere?: Elsewhere | undefined
}

export interface Elsewhere {
  /** It has not just failed. */
  readonly isUp: boolean
  /** Resolves when the size is known. Rejects with an UpstreamError, `absent` when they are not there either. */
  follow(
    local: Local,
    digest: Digest,
    ask: { readonly expectedSize: number | undefined; readonly isHurried: boolean },
  ): Promise<BlobAnswer & { kind: 'bytes' }>
  /** Undefined: the bytes are to be given from here. */
  link(digest: Digest, ask: LinkAsk): Promise<LinkedBlob | undefined>
  /** What the disk has of it is damaged. */
  drop(digest: Digest): Promise<void>
}

export type HeldBlob = LinkedBlob | (BlobAnswer & { kind: 'bytes' })

interface Lacking {
  readonly entry: BlobEntry
  readonly ranges: readonly RangeSpec[] | undefined
  /** They can be had from another replica, too. */
  readonly isHurried?: boolean
  readonly isDamaged: boolean
}

/** A tag that moves as fast as it is read is not followed for ever. */
const maxMoves = 5

/** Undefined stands for what the repository does not hold. Bytes that should be here and are not: RegistryError UNKNOWN (500). */
export class LocalPull {
  readonly #deps: LocalDeps

  constructor(deps: LocalDeps) {
    this.#deps = deps
  }

  async manifest(
    local: Local,
    reference: Reference,
    { head }: { head: boolean },
  ): Promise<ManifestAnswer | undefined> {
    const found = await this.#find(local, reference)
    if (!found) return undefined
    const { digest, entry } = found
    const { size, body } = await this.#stored(digest, head)
    if (size !== entry.size) {
      const isHeld = await this.#deps.holdings.manifest(localKey(local), digest)
      if (!isHeld) return this.manifest(local, reference, { head }) // deleted meanwhile
      throw this.#damaged(local, digest, { expected: entry.size, found: size })
    }
    // Nodes that have the image ask no more than where its tag points: that is a use of it too. Who asks for a digest may
    // leave it out of a push.
    if (!head || reference.kind === 'tag')
      this.#deps.holdings.notePull(localKey(local), digest, entry.pulledAt)
    else if (!(await this.#deps.holdings.renewManifest(localKey(local), digest))) return undefined
    return { digest, mediaType: entry.mediaType, size: entry.size, body, provenance: hit }
  }

  /** Bytes of a blob that the repository holds, for who gets them by themselves; undefined: they cannot. */
  async held(local: Local, digest: Digest): Promise<number | undefined> {
    const entry = await this.#deps.holdings.blob(localKey(local), digest)
    if (!entry) return undefined
    const size = await this.#deps.store.pushed.size(digest)
    return size !== undefined && !disagree(entry, { size }) ? size : undefined
  }

  /**
   * Whether bytes can be had here of which only another replica knows that a repository holds them.
   *
   * @param inPart on their way here they would come from the first one on, which takes too long for some of them
   */
  async fetchesBytes(digest: Digest, { inPart }: { inPart: boolean }): Promise<boolean> {
    const { elsewhere, store } = this.#deps
    if (!elsewhere?.isUp) return false
    if (!inPart) return true
    const stored = await store.pushed.open(digest)
    stored?.file.release()
    return stored !== undefined
  }

  /** The bytes of a blob that the repository is known to hold. Rejects where they are not to be had here, or not soon. */
  async bytes(local: Local, digest: Digest, { size, ranges }: Left): Promise<HeldBlob> {
    const entry = { size, isPublic: false }
    const found = await this.#bytes(local, digest, { entry, ranges, isHurried: true })
    if ('kind' in found) return found
    throw new Error(`${digest} is not here`)
  }

  /** @param ranges as asked; they only decide whether the client may be sent elsewhere */
  async blob(local: Local, digest: Digest, ranges?: readonly RangeSpec[]): Promise<HeldBlob | undefined> {
    const entry = await this.#deps.holdings.blob(localKey(local), digest)
    if (!entry) return undefined
    const found = await this.#bytes(local, digest, { entry, ranges })
    if ('kind' in found) return found
    if (!(await this.#deps.holdings.blob(localKey(local), digest))) return undefined // deleted meanwhile
    throw this.#damaged(local, digest, { expected: entry.size, found: found.size })
  }

  /** Or the size of what is here in their place. */
  async #bytes(
    local: Local,
    digest: Digest,
    { entry, ranges, isHurried = false }: Omit<Lacking, 'isDamaged'>,
  ): Promise<HeldBlob | { size: number | undefined }> {
    const stored = await this.#deps.store.pushed.open(digest)
    if (stored && !disagree(entry, stored)) return fromStore(stored, hit)
    stored?.file.release()
    const followed = await this.#follow(local, digest, {
      entry,
      ranges,
      isHurried,
      isDamaged: stored !== undefined,
    })
    return followed ?? { size: stored?.size }
  }

  /** Undefined where nobody else has it. */
  async #follow(
    local: Local,
    digest: Digest,
    { entry, ranges, isHurried = false, isDamaged }: Lacking,
  ): Promise<HeldBlob | undefined> {
    const { elsewhere } = this.#deps
    if (!elsewhere) return undefined
    if (isDamaged) await elsewhere.drop(digest)
    try {
      const there = await elsewhere.link(digest, { ranges, size: entry.size })
      return there ?? (await elsewhere.follow(local, digest, { expectedSize: entry.size, isHurried }))
    } catch (error) {
      if (isAbsent(error)) return undefined
      throw error
    }
  }

  /**
   * Who asks may leave the blob out of a push, and is to find it then: its grace begins anew. Lost bytes count as
   * absent: a pusher brings them again.
   */
  async blobHead(local: Local, digest: Digest): Promise<BlobHead | undefined> {
    const { holdings } = this.#deps
    const entry = await holdings.blob(localKey(local), digest)
    if (!entry || !(await holdings.renew(localKey(local), digest))) return undefined
    const size = await this.#deps.store.pushed.size(digest)
    if (size !== undefined && !disagree(entry, { size })) return { size, provenance: hit }
    this.#report(local, digest, { expected: entry.size, found: size })
    return undefined
  }

  /** In byte order after `last`. Undefined when the repository holds nothing at all. */
  async tags(local: Local, page: Page): Promise<readonly Tag[] | undefined> {
    const key = localKey(local)
    const tags = await this.#deps.holdings.tags(key, page)
    return tags.length > 0 || (await this.#deps.holdings.exists(key)) ? tags : undefined
  }

  /** In byte order of the digests after `last`. */
  referrers(local: Local, subject: Digest, page: Page<Digest>): Promise<readonly Descriptor[]> {
    return this.#deps.holdings.referrers(localKey(local), subject, page)
  }

  async #find(local: Local, reference: Reference): Promise<Found | undefined> {
    const key = localKey(local)
    const { holdings } = this.#deps
    if (reference.kind === 'digest') {
      const entry = await holdings.manifest(key, reference.digest)
      return entry && { digest: reference.digest, entry }
    }
    for (let moves = 0, before: Digest | undefined; moves < maxMoves; moves += 1) {
      const tag = await holdings.tag(key, reference.tag)
      if (!tag || tag.digest === before) return undefined
      const entry = await holdings.manifest(key, tag.digest)
      if (entry) return { digest: tag.digest, entry }
      before = tag.digest // deleted since; the tag may have been moved in front of that
    }
    return undefined
  }

  async #stored(digest: Digest, head: boolean): Promise<{ size: number | undefined; body?: Buffer }> {
    const { pushed } = this.#deps.store
    if (head) return { size: await pushed.size(digest) }
    const body = await pushed.read(digest)
    return { size: body?.length, ...(body ? { body } : {}) }
  }

  #report({ repository }: Local, digest: Digest, sizes: Sizes): void {
    this.#deps.log.error(
      { repository, digest, ...sizes },
      'pushed bytes are missing or damaged: push them again',
    )
  }

  #damaged(local: Local, digest: Digest, sizes: Sizes): RegistryError {
    this.#report(local, digest, sizes)
    return new RegistryError('UNKNOWN', `the bytes of ${digest} are missing or damaged here: push them again`)
  }
}

/** What the owner of local names says of a blob. */
interface Left {
  readonly size: number
  /** As asked. */
  readonly ranges: readonly RangeSpec[] | undefined
}

interface Found {
  digest: Digest
  entry: ManifestEntry
}

interface Sizes {
  expected: number | undefined
  /** Undefined: there are none. */
  found: number | undefined
}

/** Closing the bytes gives the file back. */
export function fromStore(
  { file, size }: StoredBlob,
  provenance: Provenance,
): BlobAnswer & { kind: 'bytes' } {
  const bytes: Bytes = {
    read: (target, position) => file.readFrom(position, target),
    close: () => file.release(),
    shared: { path: file.path, until: async () => size },
  }
  return { kind: 'bytes', size, bytes, provenance }
}
