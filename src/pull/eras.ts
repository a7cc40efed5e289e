/**
 * Somebody has a tag, or a whole repository, dropped or asked about anew: a new era begins for it. What was asked of
 * upstream in an earlier one is neither joined nor written down any more.
 */
import type { Tag } from '../oci/name.ts'
import { latest } from '../runtime/latest.ts'
import { keyText, type RepositoryKey } from '../store/layout.ts'

/** Of one that so many others were dropped after, no question of before is under way any more. */
const maxBegun = 10_000

export class Eras {
  readonly #begun = latest<string, number>(maxBegun)
  #count = 0

  of(key: RepositoryKey, tag?: Tag): number {
    const ofRepository = this.#begun.get(nameOf(key)) ?? 0
    return tag === undefined ? ofRepository : Math.max(ofRepository, this.#begun.get(nameOf(key, tag)) ?? 0)
  }

  begin(key: RepositoryKey, tag?: Tag): void {
    this.#count += 1
    this.#begun.set(nameOf(key, tag), this.#count)
  }
}

function nameOf(key: RepositoryKey, tag = ''): string {
  return `${keyText(key)}:${tag}`
}
