/** Pulling manifests: by digest for ever, by tag as fresh as the policy wants it. */
import type { ManifestEntry, TagEntry } from '../index/index.ts'
import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/name.ts'
import type { Reference } from '../oci/reference.ts'
import type { RepositoryKey } from '../store/layout.ts'
import { Coalescer } from '../stream/coalesce.ts'
import type { FetchedManifest, ManifestHead } from '../upstream/upstream.ts'
import { isAbsent, isTimeout } from '../upstream/upstream-error.ts'
import type { PullDeps } from './deps.ts'
import { isFresh, judge } from './freshness.ts'
import { HeldManifests } from './held.ts'
import { inTime } from './in-time.ts'
import { ManifestCache } from './manifest-cache.ts'
import { type Asked, Pointers, type Refreshed } from './pointers.ts'
import { collapsed, missed, type Provenance, revalidated } from './provenance.ts'
import { type Fetched, SharedQuestions } from './shared-questions.ts'
import { keyOf, type Target } from './target.ts'

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
  readonly #shared: SharedQuestions
  readonly #heads = new Coalescer<ManifestHead>()
  readonly #fetches = new Coalescer<Fetched>()
  readonly #checks = new Coalescer<Checked>()

  constructor(deps: PullDeps) {
    this.#deps = deps
    this.#cache = new ManifestCache(deps)
    this.#pointers = new Pointers(deps)
    this.#shared = new SharedQuestions(deps)
    this.#held = new HeldManifests({ ...deps, entries: deps.catalog, bodies: this.#cache })
  }

  async get(target: Target, reference: Reference, ask: Ask): Promise<ManifestAnswer> {
    target.upstream.assertAllowed(target.repository)
    if (reference.kind === 'tag') return this.#noted(target, await this.#byTag(target, reference.tag, ask))
    const found = await this.#byDigest(target, reference.digest, ask)
    return ask.head ? found : this.#noted(target, found)
  }

  /** Nothing that upstream was asked up to now is answered or taken down any more: about the tag, or the repository. */
  forget(key: RepositoryKey, tag?: Tag): void {
    this.#pointers.forget(key, tag)
  }

  /** For another replica, whose clients want it: as our own would get it. */
  async lend(target: Target, reference: Reference): Promise<FetchedManifest> {
    const key = this.#pointers.question(target, reference)
    const ask = () => this.#fetch(target, reference, { isLent: true })
    return (await this.#fetches.run(key, ask).result).manifest
  }

  /** As `lend`, without the body. */
  lendHead(target: Target, reference: Reference): Promise<ManifestHead> {
    const key = this.#pointers.question(target, reference)
    const ask = async () =>
      (await this.#confirmedThere(target, reference)) ?? this.#askHead(target, reference)
    return this.#heads.run(key, () => this.#guard(target, reference, ask)).result
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
    return (await this.#held.byDigest(target, digest, ask)) ?? this.#notHeld(target, digest, ask)
  }

  async #notHeld(target: Target, digest: Digest, ask: Ask): Promise<ManifestAnswer> {
    const body = await this.#cache.read(digest, undefined)
    if (body) return this.#confirmed(target, digest, body)
    const reference: Reference = { kind: 'digest', digest }
    return ask.head ? this.#coldHead(target, reference) : this.#cold(target, reference)
  }

  /** The bytes are here for another repository: this one's upstream has to say that they are in it too. */
  async #confirmed(target: Target, digest: Digest, body: Buffer): Promise<ManifestAnswer> {
    const { mediaType } = await this.#head(target, { kind: 'digest', digest })
    const fetched = { body, digest, mediaType, anonymous: false }
    const entry = this.#cache.keepLink(target, fetched)
    return answer(digest, entry, { body, provenance: revalidated })
  }

  async #byTag(target: Target, tag: Tag, ask: Ask): Promise<ManifestAnswer> {
    const entry = await this.#deps.catalog.tag(keyOf(target), tag)
    if (!entry) return this.#coldTag(target, tag, ask)
    const provenance = this.#held.freshness(target, tag, entry)
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
      const head = await this.#head(target, { kind: 'tag', tag }, ask.totalMs)
      const confirmed: TagEntry = { ...entry, checkedAt: this.#deps.clock.now(), missingSince: undefined }
      if (head.digest === entry.digest) {
        await this.#pointers.confirm(asked, confirmed)
        return { entry: confirmed }
      }
      const wanted = { head: ask.head && !(await this.#deps.catalog.manifest(key, entry.digest)) }
      const found = await this.#moved(target, tag, head, wanted)
      return {
        entry: this.#pointers.point(asked, found),
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
    const { digest, mediaType, size } = await this.#head(target, reference)
    if (digest === undefined || size === undefined)
      return { ...(await this.#cold(target, reference)), body: undefined }
    return { digest, mediaType, size, body: undefined, provenance: { outcome: 'miss' } }
  }

  async #cold(target: Target, reference: Reference): Promise<ManifestAnswer> {
    const key = this.#pointers.question(target, reference)
    const { joined, result } = this.#fetches.run(key, () => this.#fetch(target, reference))
    const { manifest, brought, isBorrowed } = await result
    const { digest, mediaType, body } = manifest
    const provenance = joined || brought || isBorrowed ? collapsed : missed
    return { digest, mediaType, size: body.length, body, provenance }
  }

  /** @param isLent for another replica, which has the claim: nobody else is asked */
  async #fetch(target: Target, reference: Reference, { isLent = false } = {}): Promise<Fetched> {
    const asked = reference.kind === 'tag' ? this.#pointers.asking(target, reference.tag) : undefined
    const brought = await this.#brought(target, reference)
    if (brought) return { manifest: brought, brought: true }
    const fetched = await this.#guard(target, reference, () =>
      isLent
        ? this.#ask(target, reference)
        : this.#shared.manifest(target, reference, {
            here: async () => (await this.#broughtThere(target, reference)) ?? this.#ask(target, reference),
            era: this.#pointers.era(target, reference),
          }),
    )
    const { manifest } = fetched
    this.#cache.keep(target, manifest)
    const { digest, mediaType, body } = manifest
    if (asked && !fetched.brought) this.#pointers.point(asked, { digest, mediaType, size: body.length })
    return fetched
  }

  async #ask({ upstream, repository }: Target, reference: Reference): Promise<Fetched> {
    const { manifestBytes: maxBytes } = this.#deps.limits
    return { manifest: await upstream.getManifest(repository, reference, { maxBytes }), brought: false }
  }

  /** What another fetch brought after the asker had looked, and before it could join that one. */
  async #brought(target: Target, reference: Reference): Promise<FetchedManifest | undefined> {
    const found = await this.#listed(target, reference)
    const body = found && (await this.#cache.read(found.digest, found.entry.size))
    return body && manifestOf(found, body)
  }

  /** What another replica brought before the claim was ours. */
  async #broughtThere(target: Target, reference: Reference): Promise<Fetched | undefined> {
    const found = this.#deps.replicas && (await this.#listed(target, reference))
    if (!found) return undefined
    const { digest, entry } = found
    const body = (await this.#cache.read(digest, entry.size)) ?? (await this.#shared.body(digest, entry.size))
    return body && { manifest: manifestOf(found, body), brought: true }
  }

  /** The manifest that is known without asking upstream. */
  async #listed(target: Target, reference: Reference): Promise<Listed | undefined> {
    const digest =
      reference.kind === 'digest' ? reference.digest : (await this.#freshTag(target, reference.tag))?.digest
    const entry = digest && (await this.#deps.catalog.manifest(keyOf(target), digest))
    return entry && { digest, entry }
  }

  async #freshTag(target: Target, tag: Tag): Promise<TagEntry | undefined> {
    const entry = await this.#deps.catalog.tag(keyOf(target), tag)
    return entry && isFresh(entry, target.policy, tag, this.#deps.clock.now()) ? entry : undefined
  }

  #head(target: Target, reference: Reference, totalMs?: number): Promise<ManifestHead> {
    const key = this.#pointers.question(target, reference)
    const ask = () => this.#askHead(target, reference, totalMs)
    return this.#heads.run(key, () =>
      this.#guard(target, reference, () =>
        this.#shared.head(target, reference, {
          here: async () => (await this.#confirmedThere(target, reference)) ?? ask(),
          era: this.#pointers.era(target, reference),
          totalMs,
        }),
      ),
    ).result
  }

  #askHead({ upstream, repository }: Target, reference: Reference, totalMs?: number): Promise<ManifestHead> {
    return upstream.headManifest(repository, reference, totalMs === undefined ? {} : { totalMs })
  }

  /** Another replica asked about the tag before the claim was ours. */
  async #confirmedThere(target: Target, reference: Reference): Promise<ManifestHead | undefined> {
    if (!this.#deps.replicas || reference.kind !== 'tag') return undefined
    if (this.#pointers.era(target, reference) > 0) return undefined // whatever is known, upstream is to be asked
    return this.#freshTag(target, reference.tag)
  }

  #guard<T>(target: Target, reference: Reference, task: () => Promise<T>): Promise<T> {
    target.upstream.assertAllowed(target.repository)
    const key = this.#pointers.question(target, reference)
    return this.#deps.absences.guard(key, target.policy.notFoundForMs, task)
  }
}

interface Listed {
  digest: Digest
  entry: ManifestEntry
}

function manifestOf({ digest, entry }: Listed, body: Buffer): FetchedManifest {
  return { body, digest, mediaType: entry.mediaType, anonymous: entry.isPublic }
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
