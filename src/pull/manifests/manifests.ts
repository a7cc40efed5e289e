/** Pulling manifests: by digest for ever, by tag as fresh as the policy wants it. */
import type { ManifestEntry, TagEntry } from '../../index/index.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Tag } from '../../oci/name.ts'
import type { Reference } from '../../oci/reference.ts'
import type { RepositoryKey } from '../../store/layout.ts'
import { Coalescer } from '../../stream/coalesce.ts'
import type { ManifestHead } from '../../upstream/upstream.ts'
import { isAbsent, isTimeout } from '../../upstream/upstream-error.ts'
import type { PullDeps } from '../deps.ts'
import { HeldManifests } from '../held.ts'
import { collapsed, missed, type Provenance, revalidated } from '../provenance.ts'
import { keyOf, type Target } from '../target.ts'
import { judge } from './freshness.ts'
import { inTime } from './in-time.ts'
import { ManifestCache } from './manifest-cache.ts'
import { ManifestQuestions } from './manifest-questions.ts'
import { type Asked, Pointers, type Refreshed } from './pointers.ts'

export interface ManifestAnswer {
  readonly digest: Digest
  readonly mediaType: string
  /** Bytes. */
  readonly size: number
  /** Undefined for a HEAD. */
  readonly body: Buffer | undefined
  readonly provenance: Provenance
  /** When it was asked for before, as far as that came along. */
  readonly pulledAt?: number | undefined
}

export type Ask = { head: boolean }

/** Every method rejects with an UpstreamError where upstream's help was needed and did not come. */
export class Manifests {
  readonly #deps: PullDeps
  readonly #cache: ManifestCache
  readonly #held: HeldManifests
  readonly #pointers: Pointers
  readonly #questions: ManifestQuestions
  readonly #checks = new Coalescer<Checked>()

  constructor(deps: PullDeps) {
    this.#deps = deps
    this.#cache = new ManifestCache(deps)
    this.#pointers = new Pointers(deps)
    this.#questions = new ManifestQuestions(deps, { cache: this.#cache, pointers: this.#pointers })
    this.#held = new HeldManifests({ ...deps, entries: deps.catalog, bodies: this.#cache })
  }

  async get(target: Target, reference: Reference, ask: Ask): Promise<ManifestAnswer> {
    target.upstream.assertAllowed(target.repository)
    if (reference.kind === 'tag') return this.#noted(target, await this.#byTag(target, reference.tag, ask))
    const found = await this.#byDigest(target, reference.digest, ask)
    return ask.head ? found : this.#noted(target, found)
  }

  /** What other replicas may have asked here. */
  get questions(): Pick<ManifestQuestions, 'lend' | 'lendHead' | 'arriving'> {
    return this.#questions
  }

  /** Nothing that upstream was asked up to now is answered or taken down any more: about the tag, or the repository. */
  forget(key: RepositoryKey, tag?: Tag): void {
    this.#pointers.forget(key, tag)
  }

  /**
   * Asks upstream about the tag now, whatever is known of it. What the policy has for a tag that upstream no longer has
   * comes to pass; other failures change nothing.
   */
  async refresh(target: Target, tag: Tag): Promise<Refreshed> {
    target.upstream.assertAllowed(target.repository)
    this.forget(keyOf(target), tag)
    const before = await this.#deps.catalog.tag(keyOf(target), tag)
    if (!before) return { digest: (await this.#coldTag(target, tag, { head: false })).digest, before }
    const asked = this.#pointers.asking(target, tag)
    const checked = await this.#check(target, before, asked, { head: false })
    if (!('failure' in checked)) return { digest: checked.entry.digest, before }
    const { failure } = checked
    if (!isAbsent(failure)) throw failure
    const verdict = judge(before, failure, target.policy, this.#deps.clock.now())
    await (verdict === 'drop' ? this.#pointers.drop(asked) : this.#missing(asked, before))
    return { digest: undefined, before, isKept: verdict !== 'drop' }
  }

  /** Nodes that have the image ask no more than where its tag points: that is a use of it too. */
  #noted(target: Target, found: ManifestAnswer): ManifestAnswer {
    this.#deps.catalog.notePull(keyOf(target), found.digest, found.pulledAt)
    return found
  }

  async #byDigest(target: Target, digest: Digest, ask: Ask): Promise<ManifestAnswer> {
    const held = await this.#held.byDigest(target, digest, ask)
    return held ? this.#admitted(target, held) : this.#notHeld(target, digest, ask)
  }

  /** What is here, for whom upstream lets have it. */
  async #admitted(target: Target, held: ManifestAnswer): Promise<ManifestAnswer> {
    const { verdicts } = this.#deps
    if (verdicts.holds(target)) return held
    const { revalidateMs } = target.upstream.options.timeouts
    const totalMs = verdicts.heldLately(target) ? revalidateMs : undefined
    try {
      const reference: Reference = { kind: 'digest', digest: held.digest }
      const head = await this.#questions.head(target, reference, totalMs)
      if (head.digest !== held.digest) await this.#questions.fetch(target, reference).result
      return { ...held, provenance: revalidated }
    } catch (failure) {
      if (verdicts.outlasts(target, failure)) return held
      throw failure
    }
  }

  async #notHeld(target: Target, digest: Digest, ask: Ask): Promise<ManifestAnswer> {
    const body = await this.#cache.read(digest, undefined)
    if (body) return this.#confirmed(target, digest, body)
    const reference: Reference = { kind: 'digest', digest }
    return ask.head ? this.#coldHead(target, reference) : this.#cold(target, reference)
  }

  /** The bytes are here for another repository: this one's upstream has to say that they are in it too. */
  async #confirmed(target: Target, digest: Digest, body: Buffer): Promise<ManifestAnswer> {
    const { mediaType } = await this.#questions.head(target, { kind: 'digest', digest })
    const fetched = { body, digest, mediaType, anonymous: false }
    const { entry } = this.#cache.keepLink(target, fetched)
    return answer(digest, entry, { body, provenance: revalidated })
  }

  async #byTag(target: Target, tag: Tag, ask: Ask): Promise<ManifestAnswer> {
    const entry = await this.#deps.catalog.tag(keyOf(target), tag)
    if (!entry) return this.#coldTag(target, tag, ask)
    // Who asks for the first time has upstream asked, which then tells where the tag points too.
    const isKnown = this.#deps.verdicts.holds(target)
    const provenance = isKnown ? this.#held.freshness(target, tag, entry) : undefined
    if (!provenance) return this.#recheck(target, tag, entry, ask)
    return this.#fromTag(target, tag, entry, { ask, provenance })
  }

  /** What the tag points at; its body is fetched if only a HEAD was seen so far. */
  async #fromTag(
    target: Target,
    tag: Tag,
    entry: TagEntry,
    { ask, provenance }: { ask: Ask; provenance: Provenance },
  ): Promise<ManifestAnswer> {
    const held = await this.#held.pointedAt(target, entry, ask, provenance)
    if (held) return held
    const { ageMs = 0 } = provenance
    try {
      const found = await this.#notHeld(target, entry.digest, ask)
      return { ...found, provenance: { ...found.provenance, ageMs } }
    } catch (error) {
      if (isAbsent(error)) return this.#coldTag(target, tag, ask) // it has moved since its digest was told of
      throw error
    }
  }

  async #coldTag(target: Target, tag: Tag, ask: Ask): Promise<ManifestAnswer> {
    const reference: Reference = { kind: 'tag', tag }
    const asked = this.#pointers.asking(target, tag)
    const found = await (ask.head ? this.#coldHead(target, reference) : this.#cold(target, reference))
    if (ask.head) this.#pointers.point(asked, found)
    return { ...found, provenance: { ...found.provenance, ageMs: 0 } }
  }

  /** Upstream is asked once for all who ask for the stale tag now, and is waited for no longer than the policy allows. */
  async #recheck(target: Target, tag: Tag, entry: TagEntry, ask: Ask): Promise<ManifestAnswer> {
    const asked = this.#pointers.asking(target, tag)
    const { revalidateMs } = target.upstream.options.timeouts
    const question = `${this.#pointers.question(target, { kind: 'tag', tag })}|${ask.head}`
    const { joined, result } = this.#checks.run(question, () =>
      this.#check(target, entry, asked, { ...ask, totalMs: revalidateMs }),
    )
    const checked = await inTime(result, target, this.#deps.clock)
    if ('failure' in checked) {
      const { failure } = checked
      const stale = await this.#stale(target, entry, asked, { ask, failure })
      if (stale) return stale
      if (isTimeout(failure)) return this.#coldTag(target, tag, ask) // as if it had never been here
      throw failure
    }
    if (checked.found)
      return joined ? { ...checked.found, provenance: { ...collapsed, ageMs: 0 } } : checked.found
    return this.#fromTag(target, tag, checked.entry, { ask, provenance: { ...revalidated, ageMs: 0 } })
  }

  /**
   * One HEAD, and a GET by digest only if the tag moved: for a HEAD too where the manifest it leaves is here, so that an
   * outage always finds one. Never rejects: a failure is a finding too.
   */
  async #check(target: Target, entry: TagEntry, asked: Asked, ask: CheckAsk): Promise<Checked> {
    const { key, tag } = asked
    try {
      const head = await this.#questions.head(target, { kind: 'tag', tag }, ask.totalMs)
      const confirmed: TagEntry = { ...entry, checkedAt: this.#deps.clock.now(), missingSince: undefined }
      if (head.digest === entry.digest) {
        await this.#pointers.confirm(asked, confirmed)
        return { entry: confirmed }
      }
      const wanted = { head: ask.head && !(await this.#deps.catalog.manifest(key, entry.digest)) }
      const found = await this.#moved(target, tag, head, wanted)
      return {
        entry: this.#pointers.point(asked, found).entry,
        found: { ...found, provenance: { ...missed, ageMs: 0 } },
      }
    } catch (failure) {
      return { failure }
    }
  }

  /** The manifest that the tag points at now. It may move once more meanwhile: then the tag itself is asked. */
  async #moved(target: Target, tag: Tag, head: ManifestHead, ask: Ask): Promise<ManifestAnswer> {
    const { digest, mediaType, size } = head
    if (digest === undefined) return this.#cold(target, { kind: 'tag', tag })
    if (ask.head && size !== undefined)
      return { digest, mediaType, size, body: undefined, provenance: missed }
    try {
      return await this.#byDigest(target, digest, ask)
    } catch (error) {
      if (isAbsent(error)) return this.#cold(target, { kind: 'tag', tag })
      throw error
    }
  }

  /** Undefined where the policy forbids it, or a client could not go on from it. */
  async #stale(
    target: Target,
    entry: TagEntry,
    asked: Asked,
    { ask, failure }: { ask: Ask; failure: unknown },
  ): Promise<ManifestAnswer | undefined> {
    if (!this.#deps.verdicts.outlasts(target, failure)) return undefined
    const now = this.#deps.clock.now()
    const verdict = judge(entry, failure, target.policy, now)
    if (verdict === 'drop') await this.#pointers.drop(asked)
    const kept = verdict === 'serve' ? await this.#cache.whole(target, entry.digest) : undefined
    if (!kept) return undefined
    if (isAbsent(failure)) await this.#missing(asked, entry)
    const detail = failure instanceof Error ? failure.message : String(failure)
    const provenance: Provenance = { outcome: 'stale', detail, ageMs: now - entry.checkedAt }
    return answer(entry.digest, kept.entry, { body: ask.head ? undefined : kept.body, provenance })
  }

  /** Upstream has it no longer. */
  async #missing(asked: Asked, entry: TagEntry): Promise<void> {
    const { missingSince = this.#deps.clock.now() } = entry
    if (entry.missingSince === undefined) await this.#pointers.confirm(asked, { ...entry, missingSince })
  }

  /** HEAD upstream and keep no body; a GET where upstream's HEAD says too little to answer with. */
  async #coldHead(target: Target, reference: Reference): Promise<ManifestAnswer> {
    const { digest, mediaType, size } = await this.#questions.head(target, reference)
    if (digest === undefined || size === undefined)
      return { ...(await this.#cold(target, reference)), body: undefined }
    return { digest, mediaType, size, body: undefined, provenance: { outcome: 'miss' } }
  }

  async #cold(target: Target, reference: Reference): Promise<ManifestAnswer> {
    const { joined, result } = this.#questions.fetch(target, reference)
    const { manifest, brought, isBorrowed } = await result
    const { digest, mediaType, body } = manifest
    const provenance = joined || brought || isBorrowed ? collapsed : missed
    return { digest, mediaType, size: body.length, body, provenance }
  }
}

type CheckAsk = Ask & { totalMs?: number }

type Checked = { entry: TagEntry; found?: ManifestAnswer } | { failure: unknown }

function answer(
  digest: Digest,
  entry: ManifestEntry,
  { body, provenance }: { body: Buffer | undefined; provenance: Provenance },
): ManifestAnswer {
  return { digest, mediaType: entry.mediaType, size: entry.size, body, provenance }
}
