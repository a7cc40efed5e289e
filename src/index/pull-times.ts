/** When manifests were asked for, as far as it has to be written down: once an hour each. */
import { LRUCache } from 'lru-cache'
import type { Digest } from '../oci/digest.ts'
import { keyText, type RepositoryKey } from '../store/layout.ts'

const everyMs = 3_600_000
/** To have forgotten one costs a look into the index. */
const maxNoted = 10_000

export class PullTimes {
  readonly #noted = new LRUCache<string, number>({ max: maxNoted })

  /** False when it was noted less than an hour ago. */
  isDue(key: RepositoryKey, digest: Digest, now: number): boolean {
    return !wasLately(this.#noted.get(nameOf(key, digest)), now)
  }

  note(key: RepositoryKey, digest: Digest, now: number): void {
    this.#noted.set(nameOf(key, digest), now)
  }
}

function nameOf(key: RepositoryKey, digest: Digest): string {
  return `${keyText(key)} ${digest}`
}

export function wasLately(at: number | undefined, now: number): boolean {
  return at !== undefined && now - at < everyMs
}
