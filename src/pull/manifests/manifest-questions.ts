/** What upstream is asked about manifests: once for all who ask at the same time, here and at the other replicas. */
import type { ManifestEntry, TagEntry } from '../../index/index.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Tag } from '../../oci/name.ts'
import type { Reference } from '../../oci/reference.ts'
import { Coalescer } from '../../stream/coalesce.ts'
import type { FetchedManifest, ManifestHead } from '../../upstream/upstream.ts'
import type { PullDeps } from '../deps.ts'
import { keyOf, type Target } from '../target.ts'
import { isFresh } from './freshness.ts'
import type { ManifestCache } from './manifest-cache.ts'
import type { Asked, Pointers } from './pointers.ts'
import { type Fetched, SharedQuestions } from './shared-questions.ts'

/** Every method rejects with an UpstreamError, for all who asked. */
export class ManifestQuestions {
  readonly #deps: PullDeps
  readonly #cache: ManifestCache
  readonly #pointers: Pointers
  readonly #shared: SharedQuestions
  readonly #heads = new Coalescer<ManifestHead>()
  readonly #fetches = new Coalescer<Fetched>()

  constructor(deps: PullDeps, { cache, pointers }: { cache: ManifestCache; pointers: Pointers }) {
    this.#deps = deps
    this.#cache = cache
    this.#pointers = pointers
    this.#shared = new SharedQuestions(deps)
  }

  /** The manifest, kept, and where the tag points. `joined`: somebody here asked for it already. */
  fetch(target: Target, reference: Reference): { joined: boolean; result: Promise<Fetched> } {
    const key = this.#pointers.question(target, reference)
    return this.#fetches.run(key, () => this.#fetch(target, reference))
  }

  /** @param totalMs bound on the whole; undefined: as upstream's time-outs have it */
  head(target: Target, reference: Reference, totalMs?: number): Promise<ManifestHead> {
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

  /** A manifest's bytes that are not on disk yet, though others may know that they are here. */
  arriving(digest: Digest): Buffer | undefined {
    return this.#cache.arriving(digest)
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

  /** @param isLent for another replica, which has the claim: nobody else is asked */
  async #fetch(target: Target, reference: Reference, { isLent = false } = {}): Promise<Fetched> {
    const asked = reference.kind === 'tag' ? this.#pointers.asking(target, reference.tag) : undefined
    const brought = await this.#brought(target, reference)
    if (brought) return { manifest: brought, brought: true }
    const ask = async (found?: Fetched) =>
      this.#keep(target, asked, found ?? (await this.#ask(target, reference)))
    const fetched = await this.#guard(target, reference, () =>
      isLent
        ? ask()
        : this.#shared.manifest(target, reference, {
            here: async doneBy => ask(await this.#broughtThere(target, reference, doneBy)),
            era: this.#pointers.era(target, reference),
          }),
    )
    return fetched.isBorrowed ? this.#keep(target, asked, fetched) : fetched
  }

  /** Resolves when other replicas would find it: who has the claim after us does not ask upstream again. */
  async #keep(target: Target, asked: Asked | undefined, fetched: Fetched): Promise<Fetched> {
    const { manifest, brought } = fetched
    const { digest, mediaType, body } = manifest
    const known = [this.#cache.keep(target, manifest)]
    if (asked && !brought)
      known.push(this.#pointers.point(asked, { digest, mediaType, size: body.length }).known)
    if (this.#deps.replicas) await Promise.all(known)
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
  async #broughtThere(
    target: Target,
    reference: Reference,
    doneBy: string | undefined,
  ): Promise<Fetched | undefined> {
    const found = this.#deps.replicas && (await this.#listed(target, reference))
    if (!found) return undefined
    const { digest, entry } = found
    const body =
      (await this.#cache.read(digest, entry.size)) ?? (await this.#shared.body(digest, entry.size, doneBy))
    return body && { manifest: manifestOf(found, body), brought: true }
  }

  /** The manifest that is known without asking upstream. */
  async #listed(target: Target, reference: Reference): Promise<Listed | undefined> {
    if (!this.#deps.verdicts.holds(target)) return undefined
    const digest =
      reference.kind === 'digest' ? reference.digest : (await this.#freshTag(target, reference.tag))?.digest
    const entry = digest && (await this.#deps.catalog.manifest(keyOf(target), digest))
    return entry && { digest, entry }
  }

  async #freshTag(target: Target, tag: Tag): Promise<TagEntry | undefined> {
    const entry = await this.#deps.catalog.tag(keyOf(target), tag)
    return entry && isFresh(entry, target.policy, tag, this.#deps.clock.now()) ? entry : undefined
  }

  #askHead({ upstream, repository }: Target, reference: Reference, totalMs?: number): Promise<ManifestHead> {
    return upstream.headManifest(repository, reference, totalMs === undefined ? {} : { totalMs })
  }

  /** Another replica asked about the tag before the claim was ours. */
  async #confirmedThere(target: Target, reference: Reference): Promise<ManifestHead | undefined> {
    if (!this.#deps.replicas || reference.kind !== 'tag' || !this.#deps.verdicts.holds(target))
      return undefined
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
