/** An upstream that holds what a test gives it, counts what it is asked, and fails when told to. */

import { Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { type Digest, digestOf } from '../../../src/oci/digest.ts'
import type { Descriptor } from '../../../src/oci/manifest.ts'
import { mediaTypes } from '../../../src/oci/media-type.ts'
import type { RepositoryName } from '../../../src/oci/name.ts'
import { type Reference, referenceText } from '../../../src/oci/reference.ts'
import type { CachePolicy, Target } from '../../../src/pull/target.ts'
import type {
  BlobAsk,
  BlobBody,
  FetchedManifest,
  ManifestHead,
  TagPage,
  Upstream,
} from '../../../src/upstream/upstream.ts'
import { UpstreamError, type UpstreamFailure } from '../../../src/upstream/upstream-error.ts'

export const minute = 60_000

export class FakeUpstream implements Upstream {
  readonly registry = 'registry.test'
  readonly identity: string
  readonly options: Upstream['options']
  /** `HEAD latest`, `GET sha256:…`, `RANGE 5-9`, `TAGS` … in the order asked. */
  readonly asked: string[] = []
  readonly blobs = new Map<Digest, Buffer>()
  readonly manifests = new Map<string, Buffer>()
  tags: string[] = []
  /** Every request fails like this. */
  failure: UpstreamFailure | undefined
  /** Every request waits for this. */
  gate: Promise<void> = Promise.resolve()
  /** HEAD names no digest. */
  headsAreBare = false

  constructor({
    access = 'public',
    identity = 'anonymous',
  }: { access?: 'public' | 'shared' | 'passthrough'; identity?: string } = {}) {
    this.identity = identity
    this.options = {
      registry: this.registry,
      urls: [],
      access,
      allow: [],
      deny: [],
      authRealms: [],
      allowPrivate: [],
      timeouts: { connectMs: 1, headersMs: 1, revalidateMs: 3_000, idleMs: 1 },
      concurrency: { fills: 1, bandwidth: 0 },
      http2: false,
      tls: {},
      proxy: undefined,
    }
  }

  holdBlob(content: Buffer): Digest {
    const digest = digestOf(content)
    this.blobs.set(digest, content)
    return digest
  }

  /** Keeps the manifest under its digest, and under the tag. */
  holdManifest(tag: string, value: object): { digest: Digest; body: Buffer } {
    const body = Buffer.from(JSON.stringify({ mediaType: mediaTypes.ociManifest, ...value }))
    const digest = digestOf(body)
    this.manifests.set(digest, body)
    this.manifests.set(tag, body)
    return { digest, body }
  }

  as(): Upstream {
    return this
  }

  assertAllowed(): void {
    if (this.failure === 'not-allowed') throw this.#failed('not-allowed')
  }

  async headManifest(_: RepositoryName, reference: Reference): Promise<ManifestHead> {
    const body = await this.#manifest('HEAD', reference)
    const digest = this.headsAreBare ? undefined : digestOf(body)
    return { digest, mediaType: mediaTypes.ociManifest, size: body.length }
  }

  async getManifest(_: RepositoryName, reference: Reference): Promise<FetchedManifest> {
    const body = await this.#manifest('GET', reference)
    return { body, digest: digestOf(body), mediaType: mediaTypes.ociManifest, anonymous: true }
  }

  async headBlob(_: RepositoryName, digest: Digest): Promise<{ size: number; anonymous: boolean }> {
    const { length } = await this.#blob('HEAD blob', digest)
    return { size: length, anonymous: true }
  }

  async openBlob(_: RepositoryName, digest: Digest, { range }: BlobAsk = {}): Promise<BlobBody> {
    const what = range ? `RANGE ${range.first}-${range.last ?? ''}` : 'GET blob'
    const content = await this.#blob(what, digest)
    const first = range?.first ?? 0
    const part = content.subarray(first, (range?.last ?? content.length) + 1)
    return {
      first,
      total: content.length,
      length: part.length,
      etag: undefined,
      anonymous: true,
      body: Readable.from([part]),
    }
  }

  async listTags(): Promise<TagPage> {
    await this.#ask('TAGS')
    return { tags: this.tags, next: undefined }
  }

  async listReferrers(): Promise<Descriptor[]> {
    await this.#ask('REFERRERS')
    return []
  }

  resting(): readonly [] {
    return []
  }

  pausedMs(): number {
    return 0
  }

  async close(): Promise<void> {}

  async destroy(): Promise<void> {}

  async #manifest(method: string, reference: Reference): Promise<Buffer> {
    const name = referenceText(reference)
    await this.#ask(`${method} ${name}`)
    const body = this.manifests.get(name)
    if (!body) throw this.#failed('not-found')
    return body
  }

  async #blob(what: string, digest: Digest): Promise<Buffer> {
    await this.#ask(what)
    const content = this.blobs.get(digest)
    if (!content) throw this.#failed('not-found')
    return content
  }

  async #ask(what: string): Promise<void> {
    this.asked.push(what)
    const { failure } = this
    await this.gate
    await turn() // as long as a network takes at least
    if (failure) throw this.#failed(failure)
  }

  #failed(failure: UpstreamFailure): UpstreamError {
    return new UpstreamError(this.registry, failure, `${this.registry}: ${failure}`)
  }
}

export interface TargetOptions {
  repository?: string
  policy?: Partial<CachePolicy>
}

export function targetOf(
  upstream: Upstream,
  { repository = 'team/app', policy = {} }: TargetOptions = {},
): Target {
  return {
    upstream,
    repository: repository as RepositoryName,
    policy: {
      tags: [{ match: '*', freshMs: 5 * minute }],
      listingsFreshMs: minute,
      maxStaleMs: 7 * 24 * 60 * minute,
      onNotFound: { serveForMs: 60 * minute },
      rateLimited: 'unavailable',
      notFoundForMs: 10_000,
      passthrough: { verdictMs: minute, outageMs: 10 * minute },
      ...policy,
    },
  }
}
