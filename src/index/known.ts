/** What repositories hold as far as the index alone can say: for a process that has no records to look into. */
import type { Digest } from '../oci/digest.ts'
import type { Descriptor } from '../oci/manifest.ts'
import type { Tag } from '../oci/name.ts'
import type { Clock } from '../runtime/clock.ts'
import { keyText } from '../store/layout.ts'
import type { Answer, BlobEntry, IndexReads, ManifestEntry, Page, RepositoryKey, TagEntry } from './index.ts'
import { NotedTimes, wasLately } from './noted-times.ts'

/** Who has the records has to be asked. */
export class NotKnown extends Error {
  override readonly name = 'NotKnown'
}

export interface KnownDeps {
  readonly index: IndexReads
  readonly clock: Clock
  /** Told once an hour of each manifest that is asked for. */
  readonly pulled: (key: RepositoryKey, digest: Digest) => void
}

const maxPulls = 10_000

/** Undefined stands for what is known to be absent. Rejects with NotKnown where nothing is known. */
export class Known {
  readonly #deps: KnownDeps
  /** Repositories that change right now, and how many times over. */
  readonly #changing = new Map<string, number>()
  readonly #pulls = new NotedTimes(maxPulls)

  constructor(deps: KnownDeps) {
    this.#deps = deps
  }

  /** Nothing is known of the repository until `changed`. */
  changing(key: RepositoryKey): void {
    const name = keyText(key)
    this.#changing.set(name, (this.#changing.get(name) ?? 0) + 1)
  }

  changed(key: RepositoryKey): void {
    const name = keyText(key)
    const left = (this.#changing.get(name) ?? 0) - 1
    if (left > 0) this.#changing.set(name, left)
    else this.#changing.delete(name)
  }

  async tag(key: RepositoryKey, tag: Tag): Promise<TagEntry | undefined> {
    return this.#known(key, await this.#deps.index.tag(key, tag))
  }

  async manifest(key: RepositoryKey, digest: Digest): Promise<ManifestEntry | undefined> {
    return this.#known(key, await this.#deps.index.manifest(key, digest))
  }

  async blob(key: RepositoryKey, digest: Digest): Promise<BlobEntry | undefined> {
    return this.#known(key, await this.#deps.index.blob(key, digest))
  }

  /** What is promised to a pusher has to be written down. */
  async renew(_key: RepositoryKey, _digest: Digest): Promise<boolean> {
    throw new NotKnown()
  }

  async renewManifest(_key: RepositoryKey, _digest: Digest): Promise<boolean> {
    throw new NotKnown()
  }

  /** Undefined also where nothing is known. */
  childSize(key: RepositoryKey, digest: Digest): Promise<number | undefined> {
    return this.#deps.index.childSize(key, digest)
  }

  /** Whether the repository holds anything: an index forgets what is empty. */
  async exists(_key: RepositoryKey): Promise<boolean> {
    throw new NotKnown()
  }

  async tags(key: RepositoryKey, page: Page): Promise<readonly Tag[]> {
    return this.#known(key, await this.#deps.index.tags(key, page)) ?? []
  }

  async referrers(key: RepositoryKey, subject: Digest, page: Page<Digest>): Promise<readonly Descriptor[]> {
    return this.#known(key, await this.#deps.index.referrers(key, subject, page)) ?? []
  }

  /** The manifest was asked for; as far as the index knows, then before. */
  notePull(key: RepositoryKey, digest: Digest, pulledAt?: number): void {
    const { clock, pulled } = this.#deps
    const now = clock.now()
    if (!wasLately(pulledAt, now) && this.#pulls.noteIfDue(key, digest, now)) pulled(key, digest)
  }

  #known<T>(key: RepositoryKey, answer: Answer<T>): T | undefined {
    if (answer.answer === 'unknown' || this.#changing.has(keyText(key))) throw new NotKnown()
    return answer.answer === 'present' ? answer.value : undefined
  }
}
