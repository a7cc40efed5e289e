/** Pushing manifests: kept byte for byte, under their digest and any number of tags (distribution-spec, "Pushing Manifests"). */
import type { TagEntry } from '../index/index.ts'
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
import type { PushDeps } from './deps.ts'
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
  readonly #deps: PushDeps
  readonly #takeOver: TakeOver

  constructor(deps: PushDeps) {
    this.#deps = deps
    this.#takeOver = new TakeOver(deps)
  }

  /**
   * Durable when it resolves. Either every tag points at it afterwards, or none was touched.
   *
   * @throws RegistryError MANIFEST_INVALID, DIGEST_INVALID, MANIFEST_BLOB_UNKNOWN (400), TAG_IMMUTABLE (409), STORAGE_FULL
   */
  async put(local: Local, push: ManifestPush): Promise<PushedManifest> {
    const { reference, tags, body, beneath } = push
    const { mediaType, view } = checkManifest(body, push.contentType)
    const digest = digestUnder(reference, body)
    const { namespace } = local
    const requires = namespace.missingReferences === 'refuse' ? view.required : []
    if (beneath) await this.#takeOver.take(local, beneath, view)
    const { store, holdings } = this.#deps
    const named = {
      mediaType,
      size: body.length,
      view,
      tags: reference.kind === 'tag' ? [reference.tag] : tags,
      requires,
      allow: ({ current, missing }: Found) => {
        if (missing.length > 0) throw missingReferences(missing)
        assertMovable(local, current, digest)
      },
    }
    await storeClaimed(store, digest, {
      put: () => store.pushed.put(digest, body),
      name: stored => holdings.putManifest(localKey(local), digest, { ...named, stored }),
    })
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
