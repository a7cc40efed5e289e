/** Which blobs were asked for, told in batches: at most once a minute of each. */
import type { Digest } from '../../oci/digest.ts'
import type { Clock } from '../../runtime/clock.ts'
import { latest } from '../../runtime/latest.ts'

const againMs = 60_000
const batchMs = 1_000
/** To have forgotten one costs telling of it once more. */
const maxLately = 20_000

export class Uses {
  readonly #clock: Clock
  readonly #told: (digests: readonly Digest[]) => void
  readonly #lately = latest<Digest, number>(maxLately)
  #batch: Digest[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(clock: Clock, told: (digests: readonly Digest[]) => void) {
    this.#clock = clock
    this.#told = told
  }

  note(digest: Digest): void {
    const now = this.#clock.monotonic()
    if (now - (this.#lately.get(digest) ?? Number.NEGATIVE_INFINITY) < againMs) return
    this.#lately.set(digest, now)
    this.#batch.push(digest)
    this.#timer ??= setTimeout(() => this.flush(), batchMs).unref()
  }

  /** Tells of those that wait. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const batch = this.#batch
    this.#batch = []
    if (batch.length > 0) this.#told(batch)
  }
}
