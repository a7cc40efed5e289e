/** Pulling blobs: from the store when this repository holds them, else along the one flight that fetches them. */
import type { BlobEntry } from '../index/index.ts'
import type { Digest } from '../oci/digest.ts'
import type { RangeSpec } from '../oci/range.ts'
import type { StoredBlob } from '../store/contents.ts'
import type { Bytes } from '../stream/bytes.ts'
import type { PullDeps } from './deps.ts'
import type { Flight } from './flights/flight.ts'
import type { Flights } from './flights/flights.ts'
import { Mended } from './flights/mended.ts'
import { sharedFirst } from './flights/shared-source.ts'
import { type Source, upstreamSource } from './flights/source.ts'
import { type Forwarded, Forwards } from './forwards.ts'
import { Links } from './links.ts'
import { bypassed, collapsed, hit, linked, missed, type Provenance, revalidated } from './provenance.ts'
import { disagree, isSound } from './sound.ts'
import { keyOf, scopeOf, type Target } from './target.ts'
import { Visibility } from './visibility.ts'

export type BlobAnswer =
  /** Bytes at any position. `size` undefined: the length is not known before the end. */
  | {
      readonly kind: 'bytes'
      readonly size: number | undefined
      readonly bytes: Bytes
      readonly provenance: Provenance
    }
  | LinkedBlob
  | (Forwarded & { readonly kind: 'relay'; readonly size: number; readonly provenance: Provenance })

/** To be read from the object store, by the client itself. */
export interface LinkedBlob {
  readonly kind: 'link'
  readonly url: string
  readonly provenance: Provenance
}

export interface BlobHead {
  /** Undefined where upstream does not say. */
  readonly size: number | undefined
  readonly provenance: Provenance
}

/** Every method rejects with an UpstreamError where upstream's help was needed and did not come. */
export class Blobs {
  readonly #deps: PullDeps
  readonly #flights: Flights
  readonly #visibility: Visibility
  readonly #forwards: Forwards
  readonly #links: Links

  constructor(deps: PullDeps, flights: Flights) {
    this.#deps = deps
    this.#flights = flights
    this.#visibility = new Visibility(deps)
    this.#forwards = new Forwards(deps, flights, target => this.#source(target))
    this.#links = new Links(deps.store, flights)
  }

  async head(target: Target, digest: Digest): Promise<BlobHead> {
    const flight = this.#flights.find(digest)
    if (flight?.size !== undefined && flight.flies(scopeOf(target)))
      return { size: flight.size, provenance: along(flight) }
    const link = await this.#visibility.known(target, digest)
    if (link?.size !== undefined) return { size: link.size, provenance: hit }
    const { size } = await this.#visibility.confirm(target, digest)
    return { size, provenance: { outcome: 'miss' } }
  }

  /**
   * A flight stores the bytes, then makes the link, then ends: looked at in this order, none of it is missed.
   *
   * @param ranges as asked; they only decide how an uncached blob is fetched
   */
  async get(target: Target, digest: Digest, ranges: readonly RangeSpec[] | undefined): Promise<BlobAnswer> {
    const stored = await this.#deps.store.open(digest)
    const { link, provenance } = await this.#consider(target, digest, stored).catch((error: unknown) => {
      stored?.file.release()
      throw error
    })
    if (stored && provenance) return this.#fromStore(target, digest, stored, provenance)
    stored?.file.release()
    const there = await this.#linked(target, digest, { link, ranges })
    return there ?? this.#absent(target, digest, { link, ranges })
  }

  /** Only for who would be given the bytes. */
  async #linked(target: Target, digest: Digest, { link, ranges }: Missing): Promise<LinkedBlob | undefined> {
    const found = await this.#links.find('cached', digest, { ranges, size: link?.size })
    if (!found) return undefined
    if (!link) {
      this.#visibility.assertNotAbsent(target, digest)
      const confirmed = await this.#visibility.confirm(target, digest)
      if (disagree(confirmed, found)) return undefined
    }
    const provenance: Provenance = link ? linked : { ...linked, ...revalidated }
    return { kind: 'link', url: found.url, provenance }
  }

  /** What is known of the blob in this repository; with a provenance if the stored bytes may be given. */
  async #consider(target: Target, digest: Digest, stored: StoredBlob | undefined): Promise<Considered> {
    const arriving = this.#flights.find(digest)?.flies(scopeOf(target)) ?? false
    const known = await this.#visibility.known(target, digest)
    if (!stored) return { link: known }
    // Bytes that are here for another repository: this one's upstream has to say that they are in it too.
    const link = known ?? (arriving ? undefined : await this.#visibility.confirm(target, digest))
    if (link && disagree(link, stored) && !(await this.#settle(target, digest, { stored, link })))
      return { link }
    return { link, provenance: known || arriving ? hit : revalidated }
  }

  /**
   * The link tells another size than the file has. The digest decides: a file that is right stays, so that no upstream's
   * word can cost the others a blob, and upstream has to say again that it is there; a damaged one is dropped.
   */
  async #settle(target: Target, digest: Digest, { stored, link }: Dispute): Promise<boolean> {
    if (await isSound(digest, stored)) {
      await this.#visibility.confirm(target, digest)
      return true
    }
    const fields = { digest, expected: link.size, found: stored.size }
    this.#deps.log.error(fields, 'blob on disk is damaged: fetched again')
    await this.#deps.store.drop(digest)
    return false
  }

  #fromStore(target: Target, digest: Digest, stored: StoredBlob, provenance: Provenance): BlobAnswer {
    const bytes = new Mended(stored, async err => {
      const { log, store } = this.#deps
      log.error({ digest, err }, 'blob on disk cannot be read: fetched again')
      if (!this.#flights.find(digest)) await store.drop(digest) // another reader may have met it first
      const ask = { expectedSize: stored.size, unverified: false }
      return this.#flights.follow(digest, this.#source(target), ask)
    })
    return { kind: 'bytes', size: stored.size, bytes, provenance }
  }

  async #absent(target: Target, digest: Digest, { link, ranges }: Missing): Promise<BlobAnswer> {
    const [only] = ranges ?? []
    const single = ranges?.length === 1 ? only : undefined
    const closed = single?.kind === 'from' ? undefined : single
    const forwarded = closed && (await this.#forward(target, digest, { spec: closed, link }))
    return (
      forwarded ??
      this.#follow(target, digest, { known: link !== undefined, unverified: closed !== undefined })
    )
  }

  async #forward(target: Target, digest: Digest, { spec, link }: Closed): Promise<BlobAnswer | undefined> {
    const size =
      link?.size ?? this.#flights.find(digest)?.size ?? (await this.#visibility.confirm(target, digest)).size
    if (size === undefined) return undefined
    const forwarded = await this.#forwards.open(target, digest, { spec, size })
    return forwarded && { ...forwarded, kind: 'relay', size, provenance: bypassed }
  }

  async #follow(target: Target, digest: Digest, { known, unverified }: Following): Promise<BlobAnswer> {
    this.#visibility.assertNotAbsent(target, digest)
    // What other replicas have put into the object store is given when upstream says that it is in this repository.
    if (!known && (await this.#isShared(digest))) {
      await this.#visibility.confirm(target, digest)
      return this.#follow(target, digest, { known: true, unverified })
    }
    const expectedSize = await this.#deps.catalog.index.childSize(keyOf(target), digest)
    const stored = await this.#deps.store.open(digest)
    // From here to the flight nothing is waited for: one that ended meanwhile would have left its bytes.
    const flight = this.#flights.find(digest)
    const ours = known || flight?.flies(scopeOf(target))
    if (!ours && (stored ?? flight)) {
      stored?.file.release()
      // A flight of ours may just have ended, and left its link.
      if (!(await this.#visibility.known(target, digest))) await this.#visibility.confirm(target, digest)
      return this.#follow(target, digest, { known: true, unverified })
    }
    if (stored) return this.#fromStore(target, digest, stored, collapsed)
    const upstream = this.#source(target)
    const source = ours ? sharedFirst({ store: this.#deps.store, upstream }) : upstream
    const bytes = this.#flights.follow(digest, source, { expectedSize, unverified })
    try {
      const size = await this.#visibility.guard(target, digest, () => bytes.size())
      const provenance = bytes.isBorrowed ? collapsed : missed
      return { kind: 'bytes', size, bytes, provenance: flight ? along(flight) : provenance }
    } catch (error) {
      bytes.close()
      throw error
    }
  }

  /** The disk has none of it, and nobody is just fetching it. */
  async #isShared(digest: Digest): Promise<boolean> {
    const { shared } = this.#deps.store
    if (!shared || this.#flights.find(digest)) return false
    return (await shared.bytes.cachedSize(digest)) !== undefined
  }

  #source(target: Target): Source {
    return upstreamSource(this.#deps, target, this.#visibility)
  }
}

interface Considered {
  link: BlobEntry | undefined
  provenance?: Provenance
}

interface Dispute {
  stored: StoredBlob
  link: BlobEntry
}

interface Missing {
  link: BlobEntry | undefined
  ranges: readonly RangeSpec[] | undefined
}

interface Closed {
  spec: RangeSpec
  link: BlobEntry | undefined
}

interface Following {
  /** The repository is known to hold the blob. */
  known: boolean
  /** Bytes are wanted as they come, before the digest is known. */
  unverified: boolean
}

/** A flight whose bytes are all here is as good as the store. */
function along({ verified }: Flight): Provenance {
  return verified ? hit : collapsed
}
