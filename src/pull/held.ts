/** What is here and needs nobody's word: all that a process without upstreams answers by itself. */
import type { BlobEntry, ManifestEntry, RepositoryKey, TagEntry } from '../index/index.ts'
import { type Known, NotKnown } from '../index/known.ts'
import type { Logger } from '../observe/log.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Tag } from '../oci/name.ts'
import type { Reference } from '../oci/reference.ts'
import type { Clock } from '../runtime/clock.ts'
import type { ReadableContents, StoredBlob } from '../store/contents.ts'
import type { Store } from '../store/store.ts'
import type { BlobAnswer, BlobHead } from './blobs.ts'
import { Mended } from './flights/mended.ts'
import { LocalPull } from './local.ts'
import { freshMs, isFresh } from './manifests/freshness.ts'
import type { Ask, ManifestAnswer } from './manifests/manifests.ts'
import { hit, type Provenance } from './provenance.ts'
import type { Reads } from './reads.ts'
import { disagree } from './sound.ts'
import { keyOf, type Target } from './target.ts'

/** What repositories hold. Undefined: they do not. */
export interface Entries {
  tag(key: RepositoryKey, tag: Tag): Promise<TagEntry | undefined>
  manifest(key: RepositoryKey, digest: Digest): Promise<ManifestEntry | undefined>
  blob(key: RepositoryKey, digest: Digest): Promise<BlobEntry | undefined>
}

export interface HeldManifestsDeps {
  readonly entries: Pick<Entries, 'tag' | 'manifest'>
  /** Undefined where there is none of this size. */
  readonly bodies: { read(digest: Digest, size: number): Promise<Buffer | undefined> }
  readonly clock: Clock
}

/** Undefined stands for what is not here, or may not be given without asking. */
export class HeldManifests {
  readonly #deps: HeldManifestsDeps

  constructor(deps: HeldManifestsDeps) {
    this.#deps = deps
  }

  async byTag(target: Target, tag: Tag, ask: Ask): Promise<ManifestAnswer | undefined> {
    const entry = await this.#deps.entries.tag(keyOf(target), tag)
    const provenance = entry && this.freshness(target, tag, entry)
    return provenance && this.pointedAt(target, entry, ask, provenance)
  }

  /** Undefined when upstream has to be asked about the tag again. */
  freshness({ policy }: Target, tag: Tag, entry: TagEntry): Provenance | undefined {
    const now = this.#deps.clock.now()
    if (!isFresh(entry, policy, tag, now)) return undefined
    const ageMs = now - entry.checkedAt
    return { ...hit, ageMs, lastsMs: freshMs(policy, tag) - ageMs }
  }

  async pointedAt(
    target: Target,
    { digest, mediaType, size }: TagEntry,
    ask: Ask,
    provenance: Provenance,
  ): Promise<ManifestAnswer | undefined> {
    if (ask.head && size !== undefined) return { digest, mediaType, size, body: undefined, provenance }
    const found = await this.byDigest(target, digest, ask)
    return found && { ...found, provenance }
  }

  async byDigest(target: Target, digest: Digest, ask: Ask): Promise<ManifestAnswer | undefined> {
    const { entries, bodies } = this.#deps
    const entry = await entries.manifest(keyOf(target), digest)
    const body = entry && (await bodies.read(digest, entry.size))
    if (!body) return undefined
    const { mediaType, size, pulledAt } = entry
    return { digest, mediaType, size, body: ask.head ? undefined : body, provenance: hit, pulledAt }
  }
}

export interface HeldBlobsDeps {
  readonly entries: Pick<Entries, 'blob'>
  readonly store: Pick<Store, 'open' | 'drop'>
  readonly log: Logger
}

export class HeldBlobs {
  readonly #deps: HeldBlobsDeps

  constructor(deps: HeldBlobsDeps) {
    this.#deps = deps
  }

  async head(target: Target, digest: Digest): Promise<BlobHead | undefined> {
    const link = await this.#deps.entries.blob(keyOf(target), digest)
    return link?.size === undefined ? undefined : { size: link.size, provenance: hit }
  }

  async get(target: Target, digest: Digest): Promise<BlobAnswer | undefined> {
    const link = await this.#deps.entries.blob(keyOf(target), digest)
    const stored = link && (await this.#deps.store.open(digest))
    if (stored && !disagree(link, stored)) return this.#fromStore(digest, stored)
    stored?.file.release()
    return undefined
  }

  /** Without the file whoever asks next comes to where it is fetched again. */
  #fromStore(digest: Digest, stored: StoredBlob): BlobAnswer {
    const bytes = new Mended(stored, async cause => {
      const { log, store } = this.#deps
      log.error({ digest, err: cause }, 'blob on disk cannot be read: dropped')
      await store.drop(digest)
      const message = `the bytes of ${digest} cannot be read here: try again`
      throw new RegistryError('UNAVAILABLE', message, { cause, retryAfterMs: 1_000 })
    })
    return { kind: 'bytes', size: stored.size, bytes, provenance: hit }
  }
}

export interface HeldReadsDeps {
  readonly entries: Known
  readonly store: Store
  readonly clock: Clock
  readonly log: Logger
}

/** Everything rejects with NotKnown, or an error for the client, where somebody else may know better. */
export function createHeldReads(deps: HeldReadsDeps): Reads {
  const { entries, store } = deps
  const bodies = {
    async read(digest: Digest, size: number) {
      const body = await store.read(digest)
      return body?.length === size ? body : undefined
    },
  }
  const manifests = new HeldManifests({ ...deps, bodies })
  const blobs = new HeldBlobs(deps)
  const find = (target: Target, reference: Reference, ask: Ask) =>
    reference.kind === 'tag'
      ? manifests.byTag(target, reference.tag, ask)
      : manifests.byDigest(target, reference.digest, ask)
  return {
    manifests: {
      async get(target, reference, ask) {
        target.upstream.assertAllowed(target.repository)
        const found = surely(await find(target, reference, ask))
        if (reference.kind === 'tag' || !ask.head)
          entries.notePull(keyOf(target), found.digest, found.pulledAt)
        return found
      },
    },
    blobs: {
      async get(target, digest) {
        target.upstream.assertAllowed(target.repository)
        return surely(await blobs.get(target, digest))
      },
      async head(target, digest) {
        target.upstream.assertAllowed(target.repository)
        return surely(await blobs.head(target, digest))
      },
    },
    local: new LocalPull({ ...deps, holdings: entries, store: { pushed: surelyIn(store.pushed) } }),
  }
}

/** Whether pushed bytes are lost, and what is done about it, is not for who only reads them to say. */
function surelyIn(pushed: ReadableContents): ReadableContents {
  return {
    open: async digest => surely(await pushed.open(digest)),
    size: async digest => surely(await pushed.size(digest)),
    read: async digest => surely(await pushed.read(digest)),
  }
}

function surely<T>(found: T | undefined): T {
  if (found === undefined) throw new NotKnown()
  return found
}
