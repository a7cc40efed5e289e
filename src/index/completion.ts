/** Makes the index whole from the store's records: each listing once at a time, for everybody who waits for it. */
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { Logger } from '../observe/log.ts'
import { type Digest, fromDashed } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { isTag, type Tag } from '../oci/name.ts'
import type { Clock } from '../runtime/clock.ts'
import { keyText, type RepositoryKey } from '../store/layout.ts'
import type { Store } from '../store/store.ts'
import { hasEntries, holdsAny, repositoriesOf } from './folders.ts'
import type { Index, Whole } from './index.ts'

/** Reading puts into the index what it did not know. */
export interface Filler {
  tag(key: RepositoryKey, tag: Tag): Promise<unknown>
  /** With what the manifest lists. */
  manifest(key: RepositoryKey, digest: Digest): Promise<unknown>
  blob(key: RepositoryKey, digest: Digest): Promise<unknown>
  referrer?(key: RepositoryKey, subject: Digest, digest: Digest): Promise<unknown>
}

export interface CompletionDeps {
  readonly index: Index
  readonly store: Store
  readonly clock: Clock
  readonly log: Logger
}

/** A request waits no longer; the completion goes on. */
const patienceMs = 10_000
const retryAfterMs = 5_000
const atOnce = 16
/**
 * Before each try of a question. An index that forgets as fast as it is completed is not asked for ever; one that is
 * away for a moment, as a Redis may be, is waited for.
 */
const pausesMs = [0, 0, 0, 500, 1_000, 1_500]

export class Completion {
  readonly #deps: CompletionDeps
  readonly #stopping = new AbortController()
  readonly #running = new Map<string, Promise<void>>()
  #doubts = 0

  constructor(deps: CompletionDeps) {
    this.#deps = deps
  }

  /**
   * The first answer of a question that has the index completed where it does not know.
   *
   * @param ask resolves with undefined to be asked again
   * @throws RegistryError UNAVAILABLE (503) when there is none after some tries
   */
  async untilKnown<T>(ask: () => Promise<T | undefined>): Promise<T> {
    for (const pauseMs of pausesMs) {
      if (pauseMs > 0) await this.#deps.clock.sleep(pauseMs, this.#stopping.signal)
      const known = await ask()
      if (known !== undefined) return known
    }
    throw new RegistryError('UNAVAILABLE', 'the index cannot be completed now: try again', { retryAfterMs })
  }

  /** @throws RegistryError UNAVAILABLE (503) when it takes longer than a request waits */
  listing(key: RepositoryKey, what: Whole, filler: Filler): Promise<void> {
    const name = typeof what === 'string' ? what : what.referrersOf
    return this.#wait(`${keyText(key)} ${name}`, () => this.complete(key, what, filler))
  }

  /** @throws RegistryError UNAVAILABLE (503) when it takes longer than a request waits */
  repositories(): Promise<void> {
    return this.#wait('repositories', () => this.completeRepositories())
  }

  /** Reads every record of a listing that the index does not know, and marks it. */
  async complete(key: RepositoryKey, what: Whole, filler: Filler): Promise<void> {
    const { index, store } = this.#deps
    const { epoch } = index
    const doubts = this.#doubts
    if (what === 'referrers') {
      for await (const names of store.names.in(this.#folder(key, what), atOnce)) {
        for (const subject of names.map(fromDashed))
          if (subject) await this.#fill(key, { referrersOf: subject }, filler)
      }
    } else await this.#fill(key, what, filler)
    if (doubts === this.#doubts) await index.markComplete(key, what, epoch)
  }

  async completeRepositories(): Promise<void> {
    const { index, store } = this.#deps
    const { epoch } = index
    for await (const key of repositoriesOf(store)) {
      this.#stopping.signal.throwIfAborted()
      if (await holdsAny(store, key)) await index.putRepository(key)
    }
    await index.markRepositoriesComplete(epoch)
  }

  /** Without it there is nothing to complete, and no mark is left behind for whatever names are asked for. */
  hasFolder(key: RepositoryKey, what: Whole): Promise<boolean> {
    const folder =
      typeof what === 'string' ? this.#deps.store.layout.repository(key) : this.#folder(key, what)
    return hasEntries(this.#deps.store.names, folder)
  }

  /** The index may miss an entry of the listing, which is not to be called whole; nor by who completes it right now. */
  async doubt(key: RepositoryKey, what: Whole): Promise<void> {
    this.#doubts += 1
    await this.#deps.index.markIncomplete(key, what)
  }

  /** Ends what is running. */
  async stop(): Promise<void> {
    this.#stopping.abort(new RegistryError('UNAVAILABLE', 'Layover is stopping'))
    await Promise.allSettled(this.#running.values())
  }

  async #fill(key: RepositoryKey, what: Exclude<Whole, 'referrers'>, filler: Filler): Promise<void> {
    for await (const names of this.#deps.store.names.in(this.#folder(key, what), atOnce)) {
      this.#stopping.signal.throwIfAborted()
      await Promise.all(names.map(name => fillOne({ key, what, name }, filler)))
      await setImmediate() // what the index knows is passed over without a pause of its own
    }
  }

  #folder(key: RepositoryKey, what: Whole): string {
    const { layout } = this.#deps.store
    if (what === 'tags') return layout.tags(key)
    if (what === 'manifests') return layout.manifests(key)
    if (what === 'blobs') return layout.blobs(key)
    return what === 'referrers'
      ? join(layout.repository(key), '_referrers')
      : layout.referrers(key, what.referrersOf)
  }

  async #wait(name: string, task: () => Promise<void>): Promise<void> {
    const running = this.#join(name, task)
    const answered = new AbortController()
    const late = this.#deps.clock.sleep(patienceMs, answered.signal).then(() => {
      running.catch((error: unknown) =>
        this.#deps.log.error({ err: error }, 'the index could not be completed'),
      )
      throw new RegistryError('UNAVAILABLE', 'the index is being completed from the records: try again', {
        retryAfterMs,
      })
    })
    try {
      await Promise.race([running, late])
    } finally {
      answered.abort()
    }
  }

  #join(name: string, task: () => Promise<void>): Promise<void> {
    const known = this.#running.get(name)
    if (known) return known
    const running = task().finally(() => this.#running.delete(name))
    this.#running.set(name, running)
    return running
  }
}

interface Found {
  key: RepositoryKey
  what: Exclude<Whole, 'referrers'>
  name: string
}

async function fillOne({ key, what, name }: Found, filler: Filler): Promise<void> {
  if (what === 'tags') {
    if (isTag(name)) await filler.tag(key, name)
    return
  }
  const digest = fromDashed(name)
  if (!digest) return
  if (what === 'manifests') await filler.manifest(key, digest)
  else if (what === 'blobs') await filler.blob(key, digest)
  else await filler.referrer?.(key, what.referrersOf, digest)
}
