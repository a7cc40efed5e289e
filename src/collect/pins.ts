/** Which cached blobs are pinned, by the configuration of the day and by who asked for it: worked out from the records, and anew when they change. */
import type { Catalog } from '../index/catalog.ts'
import { repositoriesIn } from '../index/folders.ts'
import type { Logger } from '../observe/log.ts'
import { type Digest, fromDashed } from '../oci/digest.ts'
import { viewManifest } from '../oci/manifest.ts'
import { isTag } from '../oci/name.ts'
import { matchesPattern } from '../oci/pattern.ts'
import type { Reference } from '../oci/reference.ts'
import { isSameRepository, keyText, type RepositoryKey } from '../store/layout.ts'
import type { Store } from '../store/store.ts'
import { type AskedPin, AskedPins } from './asked-pins.ts'
import { Pinned } from './pinned.ts'

export interface Pin {
  /** Pattern of repositories. */
  readonly match: string
  /** Pattern of tags; undefined: all that the repository holds. */
  readonly tags: string | undefined
}

export interface PinsDeps {
  readonly store: Store
  readonly catalog: Catalog
  /** Of each registry. */
  readonly configured: () => ReadonlyMap<string, readonly Pin[]>
  readonly log: Logger
}

const namesAtOnce = 256

export class Pins {
  readonly #deps: PinsDeps
  readonly #known = Promise.withResolvers<void>()
  readonly #asked: AskedPins
  #askedNow: readonly AskedPin[] = []
  #pinned = new Pinned()
  #looking: Promise<void> = Promise.resolve()

  constructor(deps: PinsDeps) {
    this.#deps = deps
    this.#asked = new AskedPins(deps.store)
  }

  /** Resolves when `has` knows. */
  get known(): Promise<void> {
    return this.#known.promise
  }

  has(digest: Digest): boolean {
    return this.#pinned.has(digest)
  }

  /** Those that somebody asked for. */
  list(): Promise<readonly AskedPin[]> {
    return this.#asked.list()
  }

  /** Resolves when nothing of it is evicted any more. Rejects with an error of the disk. */
  async add(pin: AskedPin): Promise<void> {
    await this.#change(() => this.#asked.add(pin))
  }

  /** False when nobody had asked for it. Rejects with an error of the disk. */
  remove(pin: AskedPin): Promise<boolean> {
    return this.#change(() => this.#asked.remove(pin))
  }

  /** Resolves when everything was looked at. Never rejects: what cannot be read stays as it was. */
  refresh(): Promise<void> {
    return this.#next(() => this.#lookAtAll())
  }

  /** A tag of the repository points elsewhere. */
  changed(key: RepositoryKey): void {
    if (!this.#isConcerned(key)) return
    void this.#next(async () => {
      this.#pinned.set(keyText(key), await this.#lookAt(key))
    })
  }

  /** A manifest of the repository has come: what it lists was not known before. */
  kept(key: RepositoryKey, digest: Digest): void {
    if (!this.#isConcerned(key)) return
    void this.#next(async () => {
      const repository = keyText(key)
      if (!this.#isWhole(key) && !this.#pinned.isOf(repository, digest)) return
      const digests = new Set<Digest>()
      await this.#add(digest, digests)
      this.#pinned.add(repository, digests)
    })
  }

  #isConcerned(key: RepositoryKey): boolean {
    return this.#pinsOf(key).length > 0 || this.#askedOf(key).length > 0
  }

  async #change<T>(change: () => Promise<T>): Promise<T> {
    const changed = this.#looking.then(change)
    this.#looking = changed.then(
      () => {},
      () => {}, // who asked for it hears of it
    )
    const result = await changed
    await this.refresh()
    return result
  }

  async #lookAtAll(): Promise<void> {
    this.#askedNow = await this.#asked.list()
    const pinned = new Pinned()
    for await (const key of this.#repositories()) {
      pinned.set(keyText(key), await this.#lookAt(key))
    }
    this.#pinned = pinned
    this.#known.resolve()
  }

  /** Those that may have something pinned; some of them twice. */
  async *#repositories(): AsyncGenerator<RepositoryKey> {
    for (const [registry, pins] of this.#deps.configured())
      if (pins.length > 0) yield* repositoriesIn(this.#deps.store, registry)
    yield* this.#askedNow
  }

  #next(look: () => Promise<void>): Promise<void> {
    this.#looking = this.#looking.then(look).catch((err: unknown) => {
      this.#deps.log.error({ err }, 'what is pinned cannot be read: what was pinned before still is')
      this.#known.resolve()
    })
    return this.#looking
  }

  #pinsOf({ registry, repository }: RepositoryKey): readonly Pin[] {
    const pins = this.#deps.configured().get(registry) ?? []
    return pins.filter(({ match }) => matchesPattern(match, repository))
  }

  #askedOf(key: RepositoryKey): readonly AskedPin[] {
    return this.#askedNow.filter(pin => isSameRepository(pin, key))
  }

  #isWhole(key: RepositoryKey, pins = this.#pinsOf(key)): boolean {
    return (
      pins.some(({ tags }) => tags === undefined) ||
      this.#askedOf(key).some(({ reference }) => reference === undefined)
    )
  }

  async #lookAt(key: RepositoryKey): Promise<Set<Digest>> {
    const digests = new Set<Digest>()
    const [pins, asked] = [this.#pinsOf(key), this.#askedOf(key)]
    if (this.#isWhole(key, pins)) await this.#addAll(key, digests)
    else if (pins.length > 0) await this.#addTagged(key, pins, digests)
    for (const { reference } of asked) await this.#add(await this.#digestOf(key, reference), digests)
    return digests
  }

  async #digestOf(key: RepositoryKey, reference: Reference | undefined): Promise<Digest | undefined> {
    if (reference?.kind !== 'tag') return reference?.digest
    return (await this.#deps.catalog.tag(key, reference.tag))?.digest
  }

  async #addAll(key: RepositoryKey, digests: Set<Digest>): Promise<void> {
    const { names: recordNames, layout } = this.#deps.store
    for await (const names of recordNames.in(layout.manifests(key), namesAtOnce))
      for (const name of names) await this.#add(fromDashed(name), digests)
  }

  async #addTagged(key: RepositoryKey, pins: readonly Pin[], digests: Set<Digest>): Promise<void> {
    const { store, catalog } = this.#deps
    for await (const names of store.names.in(store.layout.tags(key), namesAtOnce))
      for (const name of names) {
        if (!isTag(name) || !pins.some(({ tags = '*' }) => matchesPattern(tags, name))) continue
        await this.#add((await catalog.tag(key, name))?.digest, digests)
      }
  }

  /** With all that it lists, as far down as it is here. */
  async #add(digest: Digest | undefined, digests: Set<Digest>): Promise<void> {
    if (digest === undefined || digests.has(digest)) return
    digests.add(digest)
    const body = await this.#deps.store.read(digest)
    const { blobs = [], manifests = [] } = (body && viewManifest(body)) ?? {}
    for (const blob of blobs) digests.add(blob.digest)
    for (const manifest of manifests) await this.#add(manifest.digest, digests)
  }
}
