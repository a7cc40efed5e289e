/** The grace of blobs that no manifest lists yet: begun anew whenever a client is told that it need not push one. */
import type { Digest } from '../../oci/digest.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { RepositoryKey } from '../../store/layout.ts'
import { NotedTimes } from '../noted-times.ts'

const maxNoted = 20_000

export interface RenewalsDeps {
  readonly clock: Clock
  /** Resolves with the time of the record, which is then less than an hour ago; undefined when there is no record. */
  readonly write: (key: RepositoryKey, digest: Digest, now: number) => Promise<number | undefined>
  readonly failed: (error: unknown) => void
}

export class Renewals {
  readonly #deps: RenewalsDeps
  readonly #noted = new NotedTimes(maxNoted)

  constructor(deps: RenewalsDeps) {
    this.#deps = deps
  }

  /** Whether the repository holds the blob, whose grace then began less than an hour ago. */
  async renew(key: RepositoryKey, digest: Digest): Promise<boolean> {
    if (this.isFresh(key, digest)) return true
    const { clock, write, failed } = this.#deps
    const now = clock.now()
    try {
      const at = await write(key, digest, now)
      if (at === undefined) return false
      this.#noted.note(key, digest, at)
    } catch (error) {
      failed(error)
      this.#noted.note(key, digest, now) // on a disk that cannot be written, this process remembers it
    }
    return true
  }

  isFresh(key: RepositoryKey, digest: Digest): boolean {
    return this.#noted.isNoted(key, digest, this.#deps.clock.now())
  }
}
