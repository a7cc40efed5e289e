/** What of the cached content is pinned by the configuration of the day: worked out from the records, and anew when they change. */

import type { Catalog } from '../index/catalog.ts'
import { namesOf, repositoriesIn } from '../index/folders.ts'
import type { Logger } from '../observe/log.ts'
import { type Digest, fromDashed } from '../oci/digest.ts'
import { viewManifest } from '../oci/manifest.ts'
import { isTag } from '../oci/name.ts'
import { matchesPattern } from '../oci/pattern.ts'
import { keyText, type RepositoryKey } from '../store/layout.ts'
import type { Store } from '../store/store.ts'

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
  #pinned = new Map<string, ReadonlySet<Digest>>()
  #looking: Promise<void> = Promise.resolve()

  constructor(deps: PinsDeps) {
    this.#deps = deps
  }

  /** Resolves when `has` knows. */
  get known(): Promise<void> {
    return this.#known.promise
  }

  has(digest: Digest): boolean {
    for (const digests of this.#pinned.values()) if (digests.has(digest)) return true
    return false
  }

  /** Resolves when everything was looked at. Never rejects: what cannot be read stays as it was. */
  refresh(): Promise<void> {
    return this.#next(async () => {
      const pinned = new Map<string, ReadonlySet<Digest>>()
      for (const [registry, pins] of this.#deps.configured())
        if (pins.length > 0)
          for await (const key of repositoriesIn(this.#deps.store.layout, registry)) {
            const digests = await this.#lookAt(key)
            if (digests.size > 0) pinned.set(keyText(key), digests)
          }
      this.#pinned = pinned
      this.#known.resolve()
    })
  }

  /** A tag of the repository points elsewhere. */
  changed(key: RepositoryKey): void {
    if (this.#pinsOf(key).length === 0) return
    void this.#next(async () => {
      this.#pinned.set(keyText(key), await this.#lookAt(key))
    })
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

  async #lookAt(key: RepositoryKey): Promise<ReadonlySet<Digest>> {
    const digests = new Set<Digest>()
    const pins = this.#pinsOf(key)
    if (pins.length === 0) return digests
    if (pins.some(({ tags }) => tags === undefined)) await this.#addAll(key, digests)
    else await this.#addTagged(key, pins, digests)
    return digests
  }

  async #addAll(key: RepositoryKey, digests: Set<Digest>): Promise<void> {
    for await (const names of namesOf(this.#deps.store.layout.manifests(key), namesAtOnce))
      for (const name of names) await this.#add(fromDashed(name), digests)
  }

  async #addTagged(key: RepositoryKey, pins: readonly Pin[], digests: Set<Digest>): Promise<void> {
    const { store, catalog } = this.#deps
    for await (const names of namesOf(store.layout.tags(key), namesAtOnce))
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
