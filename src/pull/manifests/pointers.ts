/** Where tags of upstreams point, taken down unless somebody had them dropped or asked about anew meanwhile. */
import type { TagEntry } from '../../index/index.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Tag } from '../../oci/name.ts'
import type { Reference } from '../../oci/reference.ts'
import type { RepositoryKey } from '../../store/layout.ts'
import type { PullDeps } from '../deps.ts'
import { Eras } from '../eras.ts'
import { keyOf, questionOf, type Target } from '../target.ts'

export type Pointed = Pick<TagEntry, 'digest' | 'mediaType' | 'size'>

/** A tag that upstream is about to be asked about: to be had before it is. */
export interface Asked {
  readonly key: RepositoryKey
  readonly tag: Tag
  readonly era: number
}

export interface Refreshed {
  /** Where it points now; undefined: upstream has it no longer. */
  readonly digest: Digest | undefined
  /** As it was known before. */
  readonly before: TagEntry | undefined
  /** Of one that upstream no longer has: whether it is still served. */
  readonly isKept?: boolean
}

export class Pointers {
  readonly #deps: Pick<PullDeps, 'catalog' | 'clock' | 'background' | 'log'>
  readonly #eras = new Eras()

  constructor(deps: PullDeps) {
    this.#deps = deps
  }

  asking(target: Target, tag: Tag): Asked {
    const key = keyOf(target)
    return { key, tag, era: this.#eras.of(key, tag) }
  }

  /** Who asks the same of the same upstream in the same era shares the answer. */
  question(target: Target, reference: Reference): string {
    return `${questionOf(target, reference)}#${this.era(target, reference)}`
  }

  /** 0: nobody had it dropped or asked about anew. */
  era(target: Target, reference: Reference): number {
    return this.#eras.of(keyOf(target), reference.kind === 'tag' ? reference.tag : undefined)
  }

  /** What upstream was asked up to now about the tag, or about any of the repository, counts no more. */
  forget(key: RepositoryKey, tag?: Tag): void {
    this.#eras.begin(key, tag)
  }

  /** The index knows it when `known` resolves, which it always does; the record is written a little later. */
  point(asked: Asked, { digest, mediaType, size }: Pointed): { entry: TagEntry; known: Promise<void> } {
    const { catalog, clock, background } = this.#deps
    const now = clock.now()
    const entry: TagEntry = { digest, mediaType, size, movedAt: now, checkedAt: now, missingSince: undefined }
    if (!this.#counts(asked)) return { entry, known: Promise.resolve() }
    return { entry, known: background.firstOf(() => catalog.moveTag(asked.key, asked.tag, entry)) }
  }

  async confirm(asked: Asked, entry: TagEntry): Promise<void> {
    if (this.#counts(asked)) await this.#deps.catalog.confirmTag(asked.key, asked.tag, entry)
  }

  /** Upstream's word stands, whether or not the disk takes it down. */
  async drop({ key, tag }: Asked): Promise<void> {
    const { catalog, log } = this.#deps
    try {
      await catalog.dropTag(key, tag)
    } catch (error) {
      log.error({ tag, err: error }, 'a tag that upstream no longer has could not be dropped')
    }
  }

  #counts({ key, tag, era }: Asked): boolean {
    return this.#eras.of(key, tag) === era
  }
}
