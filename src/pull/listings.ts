/** Tag lists and referrers of upstream repositories: asked anew after a while, and kept for when upstream is gone. */
import { isDeepStrictEqual } from 'node:util'
import type { ListingEntry } from '../index/index.ts'
import type { Digest } from '../oci/digest.ts'
import type { Descriptor } from '../oci/manifest.ts'
import { isTag, type Tag } from '../oci/name.ts'
import { Coalescer } from '../stream/coalesce.ts'
import type { TagPage } from '../upstream/upstream.ts'
import { isAbsent, UpstreamError } from '../upstream/upstream-error.ts'
import type { PullDeps } from './deps.ts'
import { collapsed, missed, type Provenance } from './provenance.ts'
import { keyOf, scopeOf, type Target } from './target.ts'

/** A whole list of tags has to come to an end; upstream is not asked for more. */
const mostTags = 100_000
const mostTagPages = 1_000

export interface TagsAnswer extends TagPage {
  readonly provenance: Provenance
}

export interface ReferrersAnswer {
  readonly referrers: readonly Descriptor[]
  readonly provenance: Provenance
}

export interface AllTags {
  readonly tags: readonly Tag[]
  readonly provenance: Provenance
}

/** Every method rejects with an UpstreamError where upstream's help was needed and did not come. */
export class Listings {
  readonly #deps: PullDeps
  readonly #asking = new Coalescer<string>()

  constructor(deps: PullDeps) {
    this.#deps = deps
  }

  /** One page, as upstream cuts it. */
  async tags(target: Target, query: { n?: string; last?: string }): Promise<TagsAnswer> {
    const { upstream, repository } = target
    const ask = () => upstream.listTags(repository, query)
    const { body, provenance } = await this.#get(target, {
      kind: 'tags',
      query: JSON.stringify([query.n, query.last]),
      ask,
    })
    return { ...(JSON.parse(body) as TagPage), provenance }
  }

  /** All of them, in byte order. That there are none is remembered as other absences are. */
  async allTags(target: Target): Promise<AllTags> {
    const { body, provenance } = await this.#get(target, {
      kind: 'tags',
      query: 'all',
      ask: () =>
        this.#deps.absences.guard(`${scopeOf(target)}:tags`, target.policy.notFoundForMs, () =>
          everyTag(target),
        ),
    })
    return { tags: JSON.parse(body) as Tag[], provenance }
  }

  /** All of them, unfiltered. */
  async referrers(target: Target, subject: Digest): Promise<ReferrersAnswer> {
    const { upstream, repository } = target
    const ask = async () => {
      const referrers = await upstream.listReferrers(repository, subject)
      if (!this.#deps.verdicts.holds(target)) await this.#assertThere(target, subject)
      return referrers
    }
    const { body, provenance } = await this.#get(target, { kind: 'referrers', query: subject, ask })
    return { referrers: JSON.parse(body) as Descriptor[], provenance }
  }

  /** That nothing is listed, registries also say of what is not for the caller. */
  async #assertThere({ upstream, repository }: Target, digest: Digest): Promise<void> {
    try {
      await upstream.headManifest(repository, { kind: 'digest', digest })
    } catch (error) {
      if (!isAbsent(error)) throw error
    }
  }

  async #get(target: Target, wanted: Wanted): Promise<{ body: string; provenance: Provenance }> {
    target.upstream.assertAllowed(target.repository)
    const { index } = this.#deps.catalog
    const known = await index.listing(keyOf(target), wanted.kind, wanted.query)
    const ageMs = known ? this.#deps.clock.now() - known.fetchedAt : 0
    const isFresh = Math.abs(ageMs) < target.policy.listingsFreshMs
    if (known && isFresh && this.#deps.verdicts.holds(target))
      return { body: known.body, provenance: { outcome: 'hit', ageMs } }
    const { joined, result } = this.#asking.run(`${scopeOf(target)}:${wanted.kind}:${wanted.query}`, () =>
      this.#ask(target, wanted),
    )
    try {
      return { body: await result, provenance: joined ? collapsed : missed }
    } catch (error) {
      return this.#stale(target, known, error)
    }
  }

  async #ask(target: Target, { kind, query, ask }: Wanted): Promise<string> {
    const body = JSON.stringify(await ask())
    if (!this.#deps.verdicts.holds(target)) return body // what it hides from one is no news to the others
    await this.#deps.catalog.index.putListing(keyOf(target), kind, query, {
      body,
      fetchedAt: this.#deps.clock.now(),
    })
    return body
  }

  /** The last known listing instead of an outage. That upstream no longer knows the repository is no outage. */
  #stale(
    target: Target,
    known: ListingEntry | undefined,
    error: unknown,
  ): { body: string; provenance: Provenance } {
    if (!known || !(error instanceof UpstreamError) || error.absent || error.failure === 'not-allowed')
      throw error
    if (!this.#deps.verdicts.outlasts(target, error)) throw error
    const ageMs = this.#deps.clock.now() - known.fetchedAt
    if (ageMs > target.policy.maxStaleMs) throw error
    return { body: known.body, provenance: { outcome: 'stale', detail: error.message, ageMs } }
  }
}

async function everyTag({ upstream, repository }: Target): Promise<Tag[]> {
  const tags = new Set<Tag>()
  let query: TagPage['next'] = {}
  for (let pages = 0; query; pages += 1) {
    if (pages === mostTagPages || tags.size > mostTags) {
      const message = `${upstream.registry} lists more than ${mostTags} tags of ${repository}, or in more than ${mostTagPages} pages`
      throw new UpstreamError(upstream.registry, 'too-large', message)
    }
    const page: TagPage = await upstream.listTags(repository, query)
    for (const tag of page.tags.filter(isTag)) tags.add(tag)
    if (isDeepStrictEqual(page.next, query)) {
      const message = `${upstream.registry} goes round in circles with the tags of ${repository}`
      throw new UpstreamError(upstream.registry, 'corrupt', message)
    }
    query = page.next
  }
  return [...tags].sort()
}

interface Wanted {
  kind: 'tags' | 'referrers'
  query: string
  ask: () => Promise<unknown>
}
