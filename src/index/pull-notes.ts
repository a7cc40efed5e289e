/** Pull times on their way into the records: behind the answers, a few at a time, so that a flood of pulls is not slowed by its own notes. */
import type { Digest } from '../oci/digest.ts'
import type { Clock } from '../runtime/clock.ts'
import type { RepositoryKey } from '../store/layout.ts'
import { NotedTimes, wasLately } from './noted-times.ts'

export interface PullNotesDeps {
  readonly clock: Clock
  readonly write: (pull: Pulled) => Promise<void>
  readonly failed: (error: unknown) => void
}

export interface Pulled {
  readonly key: RepositoryKey
  readonly digest: Digest
  /** Milliseconds since the epoch. */
  readonly at: number
}

/** So many are written together, then so long none: each waits for the disk in a thread that reads of manifests need too. */
const batchSize = 4
const pauseMs = 50
/** More than wait here are not noted: their next pull is. */
const maxWaiting = 10_000
const maxNoted = 10_000
/** What a stop cannot write in so long is given up. */
const stopMs = 2000

export class PullNotes {
  readonly #deps: PullNotesDeps
  readonly #times = new NotedTimes(maxNoted)
  readonly #waiting: Pulled[] = []
  readonly #stopping = new AbortController()
  #stopAt: number | undefined
  #writing: Promise<void> | undefined

  constructor(deps: PullNotesDeps) {
    this.#deps = deps
  }

  /**
   * The manifest was asked for: written down once an hour.
   *
   * @param pulledAt when it was asked for before, as far as that is known
   */
  note(key: RepositoryKey, digest: Digest, pulledAt: number | undefined): void {
    const at = this.#deps.clock.now()
    if (wasLately(pulledAt, at) || this.#waiting.length >= maxWaiting) return
    if (!this.#times.noteIfDue(key, digest, at)) return
    this.#waiting.push({ key, digest, at })
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined
    })
  }

  /** Whether it was noted within the last hour, written down or not. */
  isNoted(key: RepositoryKey, digest: Digest): boolean {
    return this.#times.isNoted(key, digest, this.#deps.clock.now())
  }

  /** Writes what waits, without pauses. */
  async stop(): Promise<void> {
    this.#stopAt = this.#deps.clock.monotonic() + stopMs
    this.#stopping.abort()
    await this.#writing
  }

  async #write(): Promise<void> {
    const { clock, write, failed } = this.#deps
    while (this.#waiting.length > 0) {
      if (clock.monotonic() > (this.#stopAt ?? Number.POSITIVE_INFINITY)) this.#waiting.length = 0
      await Promise.all(this.#waiting.splice(0, batchSize).map(pull => write(pull).catch(failed)))
      await clock.sleep(pauseMs, this.#stopping.signal).catch(() => {}) // the stop ends it
    }
  }
}
