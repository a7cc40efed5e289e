/** Pushing manifests: kept byte for byte, under their digest and any number of tags (distribution-spec, "Pushing Manifests"). */
import type { TagEntry } from '../index/index.ts'
import type { Link } from '../index/local/links.ts'
import type { Found } from '../index/local/pushed-manifest.ts'
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Descriptor } from '../oci/manifest.ts'
import type { Tag } from '../oci/name.ts'
import { matchesPattern } from '../oci/pattern.ts'
import type { Reference } from '../oci/reference.ts'
import { type Local, localKey, type Target } from '../pull/target.ts'
import { checkManifest } from './check.ts'
import { storeClaimed } from './claimed.ts'
import type { PushParts } from './deps.ts'
import type { Reservation } from './reservation.ts'
import { TakeOver } from './take-over.ts'

export interface ManifestPush {
  readonly reference: Reference
  /** Further tags for it. */
  readonly tags: readonly Tag[]
  /** As sent; undefined: to be told from the content. */
  readonly contentType: string | undefined
  readonly body: Buffer
  /** In an overlay, the repository that it lies over. */
  readonly beneath: Target | undefined
}

export interface PushedManifest {
  readonly digest: Digest
  /** What it refers to, whether or not that is here. */
  readonly subject: Digest | undefined
}

export class Manifests {
  readonly #deps: PushParts
  readonly #takeOver: TakeOver

  constructor(deps: PushParts) {
    this.#deps = deps
    this.#takeOver = new TakeOver(deps)
  }

  /**
   * Durable when it resolves. Either every tag points at it afterwards, or none was touched.
   *
   * @throws RegistryError MANIFEST_INVALID, DIGEST_INVALID, MANIFEST_BLOB_UNKNOWN (400), DENIED (403), TAG_IMMUTABLE (409), STORAGE_FULL
   */
  async put(local: Local, push: ManifestPush): Promise<PushedManifest> {
    const { reference, tags, body, beneath } = push
    const { mediaType, view } = checkManifest(body, push.contentType)
    const digest = digestUnder(reference, body)
    const { namespace } = local
    const requires = namespace.missingReferences === 'refuse' ? view.required : []
    if (beneath) await this.#takeOver.take(local, beneath, view)
    const { store, holdings, quotas } = this.#deps
    const key = localKey(local)
    const named = reference.kind === 'tag' ? [reference.tag] : tags
    using reserved = await this.#reserve(local, digest, { size: body.length, tags: named })
    const pushed = {
      mediaType,
      size: body.length,
      view,
      tags: named,
      requires,
      allow: ({ current, missing, isHeld }: Found) => {
        if (missing.length > 0) throw missingReferences(missing)
        assertMovable(local, current, digest)
        const added = { bytes: isHeld ? 0 : body.length, tags: named.length - current.size }
        quotas.resize(namespace, reserved, added)
      },
    }
    await quotas.becoming(reserved, { key, links: linksOf(digest, named) }, () =>
      storeClaimed(store, digest, {
        put: () => store.pushed.put(digest, body),
        name: stored => holdings.putManifest(key, digest, { ...pushed, stored }),
      }),
    )
    return { digest, subject: view.subject?.digest }
  }

  /**
   * Takes away a tag, or a manifest with every tag that points at it. Nobody sees it any more when this resolves.
   *
   * @throws RegistryError MANIFEST_UNKNOWN (404), TAG_IMMUTABLE (409)
   */
  async delete(local: Local, reference: Reference): Promise<void> {
    const { holdings } = this.#deps
    const key = localKey(local)
    if (reference.kind === 'tag') {
      const { tag } = reference
      assertMutable(local, [tag], 'be deleted')
      if (!(await holdings.dropTag(key, tag))) throw unknownManifest(local, tag)
      return
    }
    const allow = (tags: readonly Tag[]) => assertMutable(local, tags, 'lose its manifest')
    if (!(await holdings.dropManifest(key, reference.digest, allow)))
      throw unknownManifest(local, reference.digest)
  }

  /** Before any byte is stored; what is here already is asked once more when nothing of it can change. */
  async #reserve(
    { namespace, ...local }: Local,
    digest: Digest,
    { size, tags }: { size: number; tags: readonly Tag[] },
  ): Promise<Reservation> {
    const { holdings, quotas } = this.#deps
    if (!namespace.quota) return quotas.reserve(namespace, { bytes: 0, tags: 0 })
    await quotas.ready(namespace)
    const key = localKey({ namespace, ...local })
    const isHeld = (await holdings.manifest(key, digest)) !== undefined
    const current = await Promise.all(tags.map(tag => holdings.tag(key, tag)))
    const added = current.filter(tag => tag === undefined).length
    return quotas.reserve(namespace, { bytes: isHeld ? 0 : size, tags: added })
  }
}

function linksOf(digest: Digest, tags: readonly Tag[]): readonly Link[] {
  return [{ kind: 'manifest', name: digest }, ...tags.map(name => ({ kind: 'tag', name }) as const)]
}

/** A tag stands for the sha256 of what it is given. */
function digestUnder(reference: Reference, body: Buffer): Digest {
  if (reference.kind === 'tag') return digestOf(body)
  const digest = digestOf(body, algorithmOf(reference.digest))
  if (digest === reference.digest) return digest
  throw new RegistryError('DIGEST_INVALID', `the manifest's digest is ${digest}, not that of the path`)
}

function assertMovable(local: Local, current: ReadonlyMap<Tag, TagEntry>, digest: Digest): void {
  const moving = [...current].filter(([, entry]) => entry.digest !== digest).map(([tag]) => tag)
  assertMutable(local, moving, 'be moved')
}

function assertMutable({ namespace }: Local, tags: readonly Tag[], what: string): void {
  const tag = tags.find(name => namespace.immutableTags.some(pattern => matchesPattern(pattern, name)))
  if (tag === undefined) return
  throw new RegistryError('TAG_IMMUTABLE', `the tag ${tag} is immutable here and cannot ${what}`, {
    detail: { tag },
  })
}

function missingReferences(missing: readonly Descriptor[]): RegistryError {
  const message = 'the manifest lists what its repository does not hold: push that first'
  const digests = new Set(missing.map(({ digest }) => digest))
  return new RegistryError('MANIFEST_BLOB_UNKNOWN', message, {
    details: [...digests].map(digest => ({ digest })),
  })
}

function unknownManifest({ repository }: Local, reference: string): RegistryError {
  return new RegistryError('MANIFEST_UNKNOWN', `${repository} holds no manifest ${reference}`)
}
