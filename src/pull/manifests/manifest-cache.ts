/** Manifests in the store: kept as they came, with the links and children that make them and their blobs visible. */
import type { ManifestEntry } from '../../index/index.ts'
import { algorithmOf, type Digest, digestOf } from '../../oci/digest.ts'
import { viewManifest } from '../../oci/manifest.ts'
import type { FetchedManifest } from '../../upstream/upstream.ts'
import type { PullDeps } from '../deps.ts'
import { keyOf, type Target } from '../target.ts'

/** Layers of one manifest that other replicas are asked for at once. */
const maxAskedFor = 128

export class ManifestCache {
  readonly #deps: PullDeps
  /** Bodies on their way to the disk: they answer at once, and again when the disk refused them. */
  readonly #storing = new Map<Digest, Buffer>()

  constructor(deps: PullDeps) {
    this.#deps = deps
  }

  /** A body that is not on disk yet. */
  arriving(digest: Digest): Buffer | undefined {
    return this.#storing.get(digest)
  }

  /** The body, unless what lies on disk has another size than it should; without a size, another digest. */
  async read(digest: Digest, size: number | undefined): Promise<Buffer | undefined> {
    const storing = this.arriving(digest)
    if (storing) return storing
    if (size === undefined && (await this.#tooLarge(digest))) return undefined
    const body = await this.#deps.store.read(digest)
    if (body === undefined) return undefined
    const sound = size === undefined ? digestOf(body, algorithmOf(digest)) === digest : body.length === size
    if (sound) return body
    this.#deps.log.error(
      { digest, expected: size, found: body.length },
      'manifest on disk is damaged: fetched again',
    )
    return undefined
  }

  /** A manifest that can be served without its upstream; undefined when a client could not go on from it. */
  async whole(target: Target, digest: Digest): Promise<{ entry: ManifestEntry; body: Buffer } | undefined> {
    const entry = await this.#deps.catalog.manifest(keyOf(target), digest)
    const body = entry && (await this.read(digest, entry.size))
    if (!body || (await this.#layersGone(target, body))) return undefined
    return { entry, body }
  }

  /** Answers from here on; on disk a little later. Resolves when the index knows of it; never rejects. */
  keep(target: Target, fetched: FetchedManifest): Promise<void> {
    const { digest, body } = fetched
    this.#storing.set(digest, body)
    this.#deps.background.run(async () => {
      try {
        await this.#deps.store.put(digest, body, target.upstream.registry)
      } finally {
        this.#storing.delete(digest)
        this.#deps.kept(keyOf(target), digest)
      }
    })
    return this.keepLink(target, fetched).known
  }

  /** This repository holds the manifest: its upstream said so. The index knows it when `known` resolves, which it always does. */
  keepLink(
    target: Target,
    { digest, body, mediaType, anonymous }: FetchedManifest,
  ): { entry: ManifestEntry; known: Promise<void> } {
    const view = viewManifest(body)
    const isPublic = anonymous && target.upstream.options.access === 'public'
    const entry: ManifestEntry = {
      mediaType,
      size: body.length,
      artifactType: view?.artifactType,
      subject: view?.subject?.digest,
      annotations: view?.annotations,
      isPublic,
      at: this.#deps.clock.now(),
      pulledAt: undefined,
    }
    const children = [...(view?.blobs ?? []), ...(view?.manifests ?? [])]
    const { background, catalog } = this.#deps
    const known = background.firstOf(() => catalog.putManifest(keyOf(target), digest, entry, children))
    return { entry, known }
  }

  /** Bytes under a digest need not be a manifest's: a layer is not to be read whole. */
  async #tooLarge(digest: Digest): Promise<boolean> {
    return ((await this.#deps.store.size(digest)) ?? 0) > this.#deps.limits.manifestBytes
  }

  /**
   * Layers that were here and are not any more, nor at another replica. podman stays with the mirror that gave the
   * manifest, so a manifest whose layers cannot follow must not be given.
   */
  async #layersGone(target: Target, body: Buffer): Promise<boolean> {
    const { catalog, store, replicas } = this.#deps
    const missing: Digest[] = []
    for (const { digest } of viewManifest(body)?.blobs ?? []) {
      const wasHere = await catalog.blob(keyOf(target), digest)
      if (wasHere && (await store.size(digest)) === undefined) missing.push(digest)
    }
    if (missing.length === 0) return false
    if (!replicas || missing.length > maxAskedFor) return true
    const holders = await Promise.all(missing.map(digest => replicas.holderOf(digest)))
    return holders.includes(undefined)
  }
}
