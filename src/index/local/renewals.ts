/** What clients were told is here and need not be pushed: no collection takes it before the grace, which began anew then, has gone by. */
import type { Owned } from '../../cluster/owner/ownership.ts'
import type { Logger } from '../../observe/log.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { RepositoryKey } from '../../store/layout.ts'
import type { Locks } from '../../stream/locks.ts'
import { NotedTimes } from '../noted-times.ts'
import { contentLock } from './locks.ts'
import type { LocalRecords } from './records.ts'
import type { Watch } from './watch.ts'

const maxNoted = 20_000

export interface RenewalsDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly locks: Locks
  readonly records: LocalRecords
  readonly watch: Watch
  readonly owned: Owned
}

/** Resolves with the time of the record, which is then less than an hour ago; undefined when there is no record. */
type Write = (now: number) => Promise<number | undefined>

interface Promised {
  readonly key: RepositoryKey
  readonly digest: Digest
}

export class Renewals {
  readonly #deps: RenewalsDeps
  readonly #blobs = new NotedTimes(maxNoted)
  readonly #manifests = new NotedTimes(maxNoted)

  constructor(deps: RenewalsDeps) {
    this.#deps = deps
  }

  /** Whether the repository holds the blob, whose grace then began less than an hour ago. */
  blob(key: RepositoryKey, digest: Digest): Promise<boolean> {
    const { records } = this.#deps
    return this.#renew(this.#blobs, { key, digest }, now => records.renewBlob(key, digest, now))
  }

  /** As `blob`: of its time without a tag. */
  manifest(key: RepositoryKey, digest: Digest): Promise<boolean> {
    const { records } = this.#deps
    return this.#renew(this.#manifests, { key, digest }, now => records.renewManifest(key, digest, now))
  }

  isFresh(key: RepositoryKey, digest: Digest): boolean {
    const now = this.#deps.clock.now()
    return [this.#blobs, this.#manifests].some(noted => noted.isNoted(key, digest, now))
  }

  async #renew(noted: NotedTimes, { key, digest }: Promised, write: Write): Promise<boolean> {
    const { clock, log } = this.#deps
    const now = clock.now()
    if (noted.isNoted(key, digest, now)) return true
    try {
      return await this.#watched({ key, digest }, async () => {
        if (noted.isNoted(key, digest, now)) return true // by who held the lock before
        const at = await write(now)
        if (at !== undefined) noted.note(key, digest, at)
        return at !== undefined
      })
    } catch (error) {
      log.error({ err: error }, 'what a client was promised could not be written down')
      noted.note(key, digest, now) // on a disk that cannot be written, this process remembers it
      return true
    }
  }

  /** A write of one record, under its lock, that collections hear of. */
  #watched<T>({ key, digest }: Promised, write: () => Promise<T>): Promise<T> {
    const { locks, watch, owned } = this.#deps
    return locks.hold({ exclusive: [contentLock(key, digest)] }, async () => {
      owned()
      return write().finally(() => watch.tell(key, [digest]))
    })
  }
}
