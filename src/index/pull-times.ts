/** When manifests were asked for, as far as it has to be written down: once an hour each. */
import { LRUCache } from 'lru-cache'
import type { Digest } from '../oci/digest.ts'
import { keyText, type RepositoryKey } from '../store/layout.ts'

const everyMs = 3_600_000
/** To have forgotten one costs a look into the index. */
const maxNoted = 10_000

export class PullTimes {
  readonly #noted = new LRUCache<string, number>({ max: maxNoted })

  /** False when it was due less than an hour ago. */
  isDue(key: RepositoryKey, digest: Digest, now: number): boolean {
    const name = `${keyText(key)} ${digest}`
    if (wasLately(this.#noted.get(name), now)) return false
    this.#noted.set(name, now)
    return true
  }
}

export function wasLately(at: number | undefined, now: number): boolean {
  return at !== undefined && now - at < everyMs
}
