/** Cross-repository mounts: a blob that another repository holds becomes one of this repository, without its bytes being sent. */
import type { Digest } from '../oci/digest.ts'
import { disagree } from '../pull/sound.ts'
import { keyOf, type Local, localKey, type Target } from '../pull/target.ts'
import { isGuarded } from '../pull/verdicts.ts'
import type { RepositoryKey } from '../store/layout.ts'
import type { PushParts } from './deps.ts'

/** A repository to mount from: ours, an upstream's, or one over the other. */
export interface MountSource {
  readonly local?: Local | undefined
  readonly upstream?: Target | undefined
}

/** Whether who asks may pull from a local repository. */
export type MayRead = (key: RepositoryKey) => Promise<boolean>

export class Mounts {
  readonly #deps: PushParts

  constructor(deps: PushParts) {
    this.#deps = deps
  }

  /**
   * Resolves with whether the repository holds the blob now, durably. Only what the caller may pull can be mounted:
   * a repository holds a blob by its link, and not because a manifest lists it.
   *
   * @param from a function: a local repository that holds it, and that it allows
   * @throws RegistryError DENIED (403) where the quota leaves no room
   */
  async mount(local: Local, digest: Digest, from: MountSource | MayRead): Promise<boolean> {
    const { holdings, store, quotas } = this.#deps
    const key = localKey(local)
    const held = await holdings.blob(key, digest)
    if (held && (await holdings.renew(key, digest)) && (await store.pushed.size(digest)) === held.size)
      return true
    await quotas.ready(local.namespace)
    return store.pushed.claim(digest, async () => {
      const size = await this.#sizeIn(digest, from)
      if (size === undefined) return false
      using reserved = quotas.reserve(local.namespace, { bytes: held ? 0 : size, tags: 0 })
      const becomes = { key, links: [{ kind: 'blob', name: digest }] } as const
      const allow = quotas.certain(local.namespace, reserved, size)
      await quotas.becoming(reserved, becomes, () => holdings.putBlob(key, digest, { size, allow }))
      return true
    })
  }

  /** Bytes of the blob, which lie among what was pushed; undefined when there is nothing to mount. */
  async #sizeIn(digest: Digest, from: MountSource | MayRead): Promise<number | undefined> {
    const { holdings, store } = this.#deps
    if (typeof from === 'function') {
      const holder = await holdings.holderOf(digest)
      return holder && (await from(holder)) ? store.pushed.size(digest) : undefined
    }
    if (from.local && (await holdings.blob(localKey(from.local), digest))) return store.pushed.size(digest)
    return from.upstream && this.#pinned(from.upstream, digest)
  }

  /** What was cached for a proxied repository is kept from here on as what was pushed. */
  async #pinned(target: Target, digest: Digest): Promise<number | undefined> {
    const { catalog, store } = this.#deps
    const link = await catalog.blob(keyOf(target), digest)
    if (!link || !isAllowed(target)) return undefined
    if (!(await store.pushed.pin(digest))) return undefined
    const size = await store.pushed.size(digest)
    return disagree(link, { size }) ? undefined : size
  }
}

/** What may not be pulled is as good as not there, and what upstream gives to some is not for who pushes to pass on. */
export function isAllowed(target: Target): boolean {
  if (isGuarded(target)) return false
  try {
    target.upstream.assertAllowed(target.repository)
    return true
  } catch {
    return false
  }
}
