/** How much namespaces hold: counted from the records when it is first asked for, and kept by each write from then on. */
import { RegistryError } from '../../oci/errors.ts'
import type { RepositoryKey } from '../../store/layout.ts'
import type { Store } from '../../store/store.ts'
import type { Locks } from '../../stream/locks.ts'
import { settle } from '../answer.ts'
import type { Index } from '../index.ts'
import { Count, type CountDeps } from './count.ts'
import type { Held, Link } from './links.ts'
import { contentLock, tagLock } from './locks.ts'
import type { LocalRecords } from './records.ts'

/** The name of the namespace that the repository is counted in; undefined: in none. */
export type CountedIn = (key: RepositoryKey) => string | undefined

/** Told of a link that came to be, within the locks of its write. */
export type Gained = (key: RepositoryKey, link: Link, measure: number) => void

export interface UsageDeps {
  readonly store: Store
  readonly index: Index
  readonly locks: Locks
  readonly records: LocalRecords
  readonly countedIn: CountedIn
}

interface Tally {
  /** Undefined until it has been counted once. */
  held: Held | undefined
  /** Under way. */
  count: Count | undefined
  counted: Promise<void> | undefined
  /** A write whose outcome could not be told. */
  isDoubtful: boolean
}

/** A write under way. */
interface Writing {
  readonly key: RepositoryKey
  readonly ended: Promise<void>
}

export class Usage {
  readonly #deps: UsageDeps
  readonly #tallies = new Map<string, Tally>()
  readonly #writing = new Set<Writing>()
  readonly #listeners = new Set<Gained>()
  #ending = new AbortController()
  #isStopped = false

  constructor(deps: UsageDeps) {
    this.#deps = deps
  }

  /** Undefined: not counted yet. */
  known(namespace: string): Readonly<Held> | undefined {
    return this.#tallies.get(namespace)?.held
  }

  isDoubtful(namespace: string): boolean {
    return this.#tallies.get(namespace)?.isDoubtful ?? false
  }

  /** Those that were counted. */
  get namespaces(): readonly string[] {
    return [...this.#tallies].filter(([, { held }]) => held).map(([name]) => name)
  }

  onGain(listener: Gained): void {
    this.#listeners.add(listener)
  }

  /** Counts, perhaps once more, or joins who does. Rejects with an error of the disk, or when the counts are forgotten. */
  count(namespace: string): Promise<void> {
    if (this.#isStopped) return Promise.reject(stopping())
    const tally = this.#tallies.get(namespace) ?? newTally()
    this.#tallies.set(namespace, tally)
    tally.counted ??= this.#count(namespace, tally)
    return tally.counted
  }

  /** Somebody else wrote, or names belong to other namespaces now. */
  forget(): void {
    this.#tallies.clear()
    this.#ending.abort(new RegistryError('UNAVAILABLE', 'the count begins anew: try again', retryAtOnce))
    this.#ending = new AbortController()
  }

  /** Resolves when no count is under way. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#ending.abort(stopping())
    for (const { counted } of this.#tallies.values()) await counted?.catch(() => {}) // who asked has the error
  }

  /**
   * Runs a write of these records, whose locks the caller holds, and takes down what came of it: in the namespace that
   * they are counted in at its end, which a reload may have changed.
   */
  async noting(key: RepositoryKey, links: readonly Link[], write: () => Promise<void>): Promise<void> {
    const { countedIn } = this.#deps
    const namespace = countedIn(key)
    const { promise: ended, resolve: end } = Promise.withResolvers<void>()
    const under: Writing = { key, ended }
    this.#writing.add(under)
    if (namespace !== undefined) this.#tallies.get(namespace)?.count?.began(key.repository)
    try {
      // What was not counted then a count has not looked at before the end of the write, whose locks keep it away.
      const before = namespace === undefined ? [] : await this.#measureAll(key, links)
      try {
        await write()
      } finally {
        await this.#ended(key, links, before)
      }
    } finally {
      this.#writing.delete(under)
      end()
    }
  }

  async #ended(key: RepositoryKey, links: readonly Link[], before: readonly number[]): Promise<void> {
    const namespace = this.#deps.countedIn(key)
    if (namespace === undefined) return
    await this.#measureAll(key, links).then(
      after => this.#wrote(namespace, key, { links, before, after }),
      () => this.#doubt(namespace), // the next count finds out
    )
  }

  #wrote(
    namespace: string,
    key: RepositoryKey,
    write: { links: readonly Link[]; before: readonly number[]; after: readonly number[] },
  ): void {
    const tally = this.#tallies.get(namespace)
    for (const [nth, link] of write.links.entries()) {
      const [before = 0, after = 0] = [write.before[nth], write.after[nth]]
      if (tally?.held) tally.held[link.kind === 'tag' ? 'tags' : 'bytes'] += after - before
      tally?.count?.wrote(key, link, { before, after })
      if (after > before) for (const gained of this.#listeners) gained(key, link, after - before)
    }
  }

  #doubt(namespace: string): void {
    const tally = this.#tallies.get(namespace)
    if (tally) tally.isDoubtful = true
  }

  async #count(namespace: string, tally: Tally): Promise<void> {
    const { store, countedIn } = this.#deps
    const isOurs = (key: RepositoryKey) => countedIn(key) === namespace
    const look: CountDeps['look'] = (...asked) => this.#look(...asked)
    const settled: CountDeps['settled'] = async ({ repository }, task) => {
      const begun = [...this.#writing].filter(each => each.key.repository === repository)
      await Promise.all(begun.map(each => each.ended)) // no lock: bytes may take long, and others are not to wait
      task()
    }
    const count = new Count({ store, isOurs, look, settled })
    for (const { key } of this.#writing) if (isOurs(key)) count.began(key.repository)
    tally.count = count
    tally.isDoubtful = false
    try {
      tally.held = await count.run(this.#ending.signal)
    } catch (error) {
      tally.isDoubtful = true // what it was to find out is not known yet
      throw error
    } finally {
      tally.count = undefined
      tally.counted = undefined
    }
  }

  #look(key: RepositoryKey, link: Link, task: (measure: number) => void): Promise<void> {
    const lock = link.kind === 'tag' ? tagLock(key, link.name) : contentLock(key, link.name)
    return this.#deps.locks.hold({ exclusive: [lock] }, async () => task(await this.#measure(key, link)))
  }

  #measureAll(key: RepositoryKey, links: readonly Link[]): Promise<number[]> {
    return Promise.all(links.map(link => this.#measure(key, link)))
  }

  async #measure(key: RepositoryKey, { kind, name }: Link): Promise<number> {
    const { index, records } = this.#deps
    if (kind === 'tag')
      return (await settle(await index.tag(key, name), () => records.readTag(key, name))) ? 1 : 0
    const entry =
      kind === 'blob'
        ? await settle(await index.blob(key, name), () => records.readBlob(key, name))
        : await settle(await index.manifest(key, name), () => records.readManifest(key, name))
    return entry?.size ?? 0
  }
}

const retryAtOnce = { retryAfterMs: 1_000 }

function newTally(): Tally {
  return { held: undefined, count: undefined, counted: undefined, isDoubtful: false }
}

function stopping(): RegistryError {
  return new RegistryError('UNAVAILABLE', 'Layover is stopping')
}
