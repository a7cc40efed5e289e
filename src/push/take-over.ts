/**
 * What a push into an overlay leans on. A client leaves out what a HEAD finds, also where upstream has it: so that the
 * image lives as long as its manifest, what is cached of it is taken over from the upstream beneath.
 */
import type { Digest } from '../oci/digest.ts'
import { type ManifestView, viewManifest } from '../oci/manifest.ts'
import { keyOf, type Local, localKey, type Target } from '../pull/target.ts'
import type { PushParts } from './deps.ts'
import { isAllowed, Mounts } from './mounts.ts'

/** An index of images has one level below it; nobody is served by following more. */
const maxLevels = 3

export class TakeOver {
  readonly #deps: PushParts
  readonly #mounts: Mounts

  constructor(deps: PushParts) {
    this.#deps = deps
    this.#mounts = new Mounts(deps)
  }

  /** What is not cached stays upstream's alone. @throws RegistryError DENIED (403) where the quota leaves no room */
  async take(local: Local, from: Target, view: ManifestView, levels = maxLevels): Promise<void> {
    for (const { digest } of view.blobs) {
      if (!(await this.#deps.holdings.blob(localKey(local), digest)))
        await this.#mounts.mount(local, digest, { upstream: from })
    }
    if (levels === 0) return
    for (const { digest } of view.manifests) await this.#takeManifest(local, from, { digest, levels })
  }

  async #takeManifest(
    local: Local,
    from: Target,
    { digest, levels }: { digest: Digest; levels: number },
  ): Promise<void> {
    const { catalog, holdings, store, quotas } = this.#deps
    const key = localKey(local)
    if (!isAllowed(from) || (await holdings.manifest(key, digest))) return
    const entry = await catalog.manifest(keyOf(from), digest)
    const body = entry && (await store.read(digest))
    const view = body && viewManifest(body)
    if (!view || body.length !== entry.size) return
    await this.take(local, from, view, levels - 1)
    const { mediaType, size } = entry
    await quotas.ready(local.namespace)
    await store.pushed.claim(digest, async () => {
      if (!(await store.pushed.pin(digest))) return
      using reserved = quotas.reserve(local.namespace, { bytes: size, tags: 0 })
      const stored = Promise.resolve()
      const pushed = { mediaType, size, stored, view, tags: [], requires: [], allow: () => {} }
      const becomes = { key, links: [{ kind: 'manifest', name: digest }] } as const
      await quotas.becoming(reserved, becomes, () => holdings.putManifest(key, digest, pushed))
    })
  }
}
