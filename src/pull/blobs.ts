/** Pulling blobs: from the store when this repository holds them, else along the one flight that fetches them. */
import type { BlobEntry } from '../index/index.ts'
import type { Digest } from '../oci/digest.ts'
import { type ByteRange, type RangeSpec, resolveRange } from '../oci/range.ts'
import type { StoredBlob } from '../store/store.ts'
import type { Bytes } from '../stream/bytes.ts'
import { Coalescer } from '../stream/coalesce.ts'
import { Semaphore } from '../stream/semaphore.ts'
import type { BlobBody } from '../upstream/upstream.ts'
import { UpstreamError } from '../upstream/upstream-error.ts'
import type { PullDeps } from './deps.ts'
import type { Flight } from './flight.ts'
import type { Flights } from './flights.ts'
import { bypassed, collapsed, hit, missed, type Provenance, revalidated } from './provenance.ts'
import { disagree, isSound } from './sound.ts'
import { upstreamSource } from './source.ts'
import { keyOf, scopeOf, type Target } from './target.ts'

/** A closed range of an uncached blob is forwarded up to this length; a longer one waits for the whole blob's flight. */
const maxForwardedBytes = 4 * 1024 * 1024
/** Forwarded ranges of one blob at once. */
const maxForwarded = 2

export type BlobAnswer =
  /** Bytes at any position. `size` undefined: the length is not known before the end. */
  | {
      readonly kind: 'bytes'
      readonly size: number | undefined
      readonly bytes: Bytes
      readonly provenance: Provenance
    }
  /** One range on its way from upstream, not kept. */
  | {
      readonly kind: 'relay'
      readonly size: number
      readonly range: ByteRange
      readonly relay: Relay
      readonly provenance: Provenance
    }

export interface Relay {
  readonly body: BlobBody['body']
  /** To be called when the answer has ended. */
  close(): void
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
  readonly #heads = new Coalescer<BlobEntry>()
  readonly #forwards = new Map<Digest, Semaphore>()

  constructor(deps: PullDeps, flights: Flights) {
    this.#deps = deps
    this.#flights = flights
  }

  async head(target: Target, digest: Digest): Promise<BlobHead> {
    const flight = this.#flights.find(digest)
    if (flight?.size !== undefined && flight.flies(scopeOf(target)))
      return { size: flight.size, provenance: along(flight) }
    const link = await this.#visible(target, digest)
    if (link?.size !== undefined) return { size: link.size, provenance: hit }
    const { size } = await this.#confirm(target, digest)
    return { size, provenance: { outcome: 'miss' } }
  }

  /**
   * A flight stores the bytes, then makes the link, then ends: looked at in this order, none of it is missed.
   *
   * @param ranges as asked; they only decide how an uncached blob is fetched
   */
  async get(target: Target, digest: Digest, ranges: readonly RangeSpec[] | undefined): Promise<BlobAnswer> {
    const stored = await this.#deps.store.open(digest)
    const arriving = this.#flights.find(digest)?.flies(scopeOf(target)) ?? false
    const link = await this.#visible(target, digest).catch(error => {
      stored?.file.release()
      throw error
    })
    if (!stored) return this.#absent(target, digest, { link, ranges })
    const mayHave = link ?? (arriving ? undefined : await this.#confirmed(target, digest, stored))
    if (
      mayHave &&
      disagree(mayHave, stored) &&
      !(await this.#settled(target, digest, { stored, link: mayHave }))
    )
      return this.#absent(target, digest, { link: mayHave, ranges })
    return fromStore(stored, link || arriving ? hit : revalidated)
  }

  async #absent(target: Target, digest: Digest, { link, ranges }: Missing): Promise<BlobAnswer> {
    const [only] = ranges ?? []
    const single = ranges?.length === 1 ? only : undefined
    const forwarded = single && (await this.#forward(target, digest, { spec: single, link }))
    if (forwarded) return forwarded
    const unverified = single !== undefined && single.kind !== 'from'
    return this.#follow(target, digest, { known: link !== undefined, unverified })
  }

  async #follow(
    target: Target,
    digest: Digest,
    { known, unverified }: { known: boolean; unverified: boolean },
  ): Promise<BlobAnswer> {
    this.#deps.absences.check(absenceKey(target, digest))
    const expectedSize = await this.#deps.catalog.index.childSize(keyOf(target), digest)
    const stored = await this.#deps.store.open(digest)
    // From here to the flight nothing is waited for: one that ended meanwhile would have left its bytes.
    const flight = this.#flights.find(digest)
    const ours = known || flight?.flies(scopeOf(target))
    if (!ours && (stored ?? flight)) {
      stored?.file.release()
      if (!(await this.#visible(target, digest))) await this.#confirm(target, digest) // a flight of ours may just have ended
      return this.#follow(target, digest, { known: true, unverified })
    }
    if (stored) return fromStore(stored, collapsed)
    const source = upstreamSource(this.#deps, target)
    const bytes = this.#flights.follow(digest, source, { expectedSize, unverified })
    try {
      const size = await this.#guard(target, digest, () => bytes.size())
      return { kind: 'bytes', size, bytes, provenance: flight ? along(flight) : missed }
    } catch (error) {
      bytes.close()
      throw error
    }
  }

  /** A short closed range beyond what a flight has comes straight from upstream, so that a lazy reader need not wait. */
  async #forward(
    target: Target,
    digest: Digest,
    { spec, link }: { spec: RangeSpec; link: BlobEntry | undefined },
  ) {
    if (spec.kind === 'from') return undefined
    const size = link?.size ?? this.#flights.find(digest)?.size ?? (await this.#confirm(target, digest)).size
    const range = size === undefined ? undefined : resolveRange(spec, size)
    if (size === undefined || !range || range.last - range.first >= maxForwardedBytes) return undefined
    if (range.last < (this.#flights.find(digest)?.watermark ?? 0)) return undefined
    const release = this.#forwardSlot(digest)
    if (!release) return undefined
    try {
      return await this.#relay(target, digest, { range, size, release })
    } catch (error) {
      release()
      throw error
    }
  }

  async #relay(
    target: Target,
    digest: Digest,
    { range, size, release }: Forwarding,
  ): Promise<BlobAnswer | undefined> {
    const answer = await target.upstream.openBlob(target.repository, digest, { range })
    if (answer.first !== range.first || answer.total !== size) {
      answer.body.destroy() // upstream knows no ranges: the flight will have to do
      release()
      return undefined
    }
    const close = () => {
      answer.body.destroy()
      release()
      this.#deps.background.run(() => this.#fetchBehind(target, digest, size))
    }
    return { kind: 'relay', size, range, relay: { body: answer.body, close }, provenance: bypassed }
  }

  /** The whole blob, for who asks next, unless it came here while the range was being relayed. */
  async #fetchBehind(target: Target, digest: Digest, size: number): Promise<void> {
    if ((await this.#deps.store.size(digest)) === size) return
    this.#flights.fetch(digest, upstreamSource(this.#deps, target), size)
  }

  #forwardSlot(digest: Digest): (() => void) | undefined {
    const slots = this.#forwards.get(digest) ?? new Semaphore(maxForwarded)
    this.#forwards.set(digest, slots)
    const release = slots.tryAcquire()
    return (
      release &&
      (() => {
        release()
        if (slots.idle) this.#forwards.delete(digest)
      })
    )
  }

  /** The bytes are here for another repository: this one's upstream has to say that they are in it too. */
  async #confirmed(target: Target, digest: Digest, stored: StoredBlob): Promise<BlobEntry> {
    try {
      return await this.#confirm(target, digest)
    } catch (error) {
      stored.file.release()
      throw error
    }
  }

  /** Upstream's word that the repository holds the blob; makes the link. */
  #confirm(target: Target, digest: Digest): Promise<BlobEntry> {
    const confirm = async () => {
      const { size, anonymous } = await this.#guard(target, digest, () =>
        target.upstream.headBlob(target.repository, digest),
      )
      await this.#assertSize(target, digest, size)
      const entry = { size, isPublic: anonymous && target.upstream.options.access === 'public' }
      await this.#deps.catalog.index.putBlob(keyOf(target), digest, entry)
      this.#deps.background.run(() => this.#deps.catalog.putBlob(keyOf(target), digest, entry))
      return entry
    }
    return this.#heads.run(`${scopeOf(target)}:${digest}`, confirm).result
  }

  /** What makes the blob visible in this repository: its link, or a public blob that a manifest of this repository lists. */
  async #visible(target: Target, digest: Digest): Promise<BlobEntry | undefined> {
    target.upstream.assertAllowed(target.repository)
    const key = keyOf(target)
    const link = await this.#deps.catalog.blob(key, digest)
    if (link || target.upstream.options.access !== 'public') return link
    if ((await this.#deps.catalog.index.childSize(key, digest)) === undefined) return undefined
    const shared = await this.#deps.catalog.index.publicBlob(key.registry, digest)
    if (shared) this.#deps.background.run(() => this.#deps.catalog.putBlob(key, digest, shared))
    return shared
  }

  /**
   * The link tells another size than the file has. The digest decides: a file that is right stays, so that no upstream's
   * word can cost the others a blob, and upstream has to say again that it is there; a damaged one is dropped.
   */
  async #settled(target: Target, digest: Digest, { stored, link }: Dispute): Promise<boolean> {
    try {
      if (await isSound(digest, stored)) {
        await this.#confirm(target, digest)
        return true
      }
    } catch (error) {
      stored.file.release()
      throw error
    }
    stored.file.release()
    this.#deps.log.error({ digest, expected: link.size }, 'blob on disk is damaged: fetched again')
    await this.#deps.store.drop(digest)
    return false
  }

  /** Who tells a wrong size of a blob speaks of something else, such as a page to log in at. */
  async #assertSize({ upstream }: Target, digest: Digest, size: number | undefined): Promise<void> {
    const stored = await this.#deps.store.open(digest)
    if (!stored) return
    try {
      if (size === undefined || stored.size === size || !(await isSound(digest, stored))) return
    } finally {
      stored.file.release()
    }
    const message = `${upstream.registry} told ${size} bytes for a blob of ${stored.size}`
    throw new UpstreamError(upstream.registry, 'corrupt', message)
  }

  #guard<T>(target: Target, digest: Digest, task: () => Promise<T>): Promise<T> {
    return this.#deps.absences.guard(absenceKey(target, digest), target.policy.notFoundForMs, task)
  }
}

interface Missing {
  link: BlobEntry | undefined
  ranges: readonly RangeSpec[] | undefined
}

interface Dispute {
  stored: StoredBlob
  link: BlobEntry
}

interface Forwarding {
  range: ByteRange
  size: number
  release: () => void
}

/** A flight whose bytes are all here is as good as the store. */
function along({ verified }: Flight): Provenance {
  return verified ? hit : collapsed
}

function absenceKey(target: Target, digest: Digest): string {
  return `${scopeOf(target)}:blob:${digest}`
}

function fromStore({ file, size }: StoredBlob, provenance: Provenance): BlobAnswer {
  const bytes: Bytes = {
    read: (target, position) => file.readFrom(position, target),
    close: () => file.release(),
  }
  return { kind: 'bytes', size, bytes, provenance }
}
