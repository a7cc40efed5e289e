/** What is written down of manifests and blobs once an hour each: when it was noted last. */
import type { LRUCache } from 'lru-cache'
import type { Digest } from '../oci/digest.ts'
import { latest } from '../runtime/latest.ts'
import { keyText, type RepositoryKey } from '../store/layout.ts'

const everyMs = 3_600_000

export class NotedTimes {
  readonly #times: LRUCache<string, number>

  /** @param max so many: to have forgotten one costs a look at what is written down */
  constructor(max: number) {
    this.#times = latest(max)
  }

  isNoted(key: RepositoryKey, digest: Digest, now: number): boolean {
    return wasLately(this.#times.get(nameOf(key, digest)), now)
  }

  note(key: RepositoryKey, digest: Digest, at: number): void {
    this.#times.set(nameOf(key, digest), at)
  }

  /** False when it was noted less than an hour ago. */
  noteIfDue(key: RepositoryKey, digest: Digest, now: number): boolean {
    if (this.isNoted(key, digest, now)) return false
    this.note(key, digest, now)
    return true
  }
}

function nameOf(key: RepositoryKey, digest: Digest): string {
  return `${keyText(key)} ${digest}`
}

/** Less than an hour ago. */
export function wasLately(at: number | undefined, now: number): boolean {
  return at !== undefined && now - at < everyMs
}
