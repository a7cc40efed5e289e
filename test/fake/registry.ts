/** A registry of the stand-in internet: the pull half of the distribution protocol with its owner's habits. */
import { type Digest, isDigest } from '../../src/oci/digest.ts'
import { type Answer, answer, json, ociError, type Request, ranged, whole } from './answer.ts'
import { type Auth, Directory } from './auth.ts'
import { bufferContent, type StoredBlob } from './bytes.ts'
import type { BlobPool } from './cdn.ts'
import type { Bundle } from './content.ts'
import { Holdings, manifestOf, type Repository } from './holdings.ts'
import { listReferrers, listTags } from './listing.ts'
import type { RateLimit } from './rate-limit.ts'

/** The habits of a registry. May be changed at any time. */
export interface Habits {
  /** Undefined: open to everybody, without a challenge. */
  auth: Auth | undefined
  /** The status for a repository that is not there. */
  unknown: 401 | 403 | 404
  /** Undefined: blobs are served here. */
  blobRedirect: ((request: Request, digest: Digest) => Answer) | undefined
  /** The status of a HEAD of a blob; 200 is the normal answer. */
  headBlob: 200 | 401 | 405
  /** Whether a GET of a manifest names its digest; HEAD always does. */
  digestOnGet: boolean
  /** Answers manifests, tags and referrers in place of this registry. */
  elsewhere: ((request: Request) => Answer) | undefined
  referrers: 'api' | 'none' | ((request: Request) => Answer)
  referrersFilter: boolean
  referrersPage: number
  tagPage: number
  tagLinks: 'relative' | 'absolute' | 'none'
  rateLimit: RateLimit | undefined
}

const ordinary: Habits = {
  auth: undefined,
  unknown: 404,
  blobRedirect: undefined,
  headBlob: 200,
  digestOnGet: true,
  elsewhere: undefined,
  referrers: 'api',
  referrersFilter: true,
  referrersPage: 1_000,
  tagPage: 1_000,
  tagLinks: 'relative',
  rateLimit: undefined,
}

interface Target {
  repository: string
  kind: 'manifests' | 'blobs' | 'tags' | 'referrers'
  reference: string
}

export class Registry {
  readonly habits: Habits
  readonly directory: Directory
  /** Where this registry keeps what it is given besides itself: registry.k8s.io's second home. */
  backend: { registry: Registry; prefix: string } | undefined
  readonly #holdings: Holdings
  readonly #origin: string

  constructor(pool: BlobPool, origin: string, habits: Partial<Habits> = {}, directory = new Directory()) {
    this.#holdings = new Holdings(pool)
    this.#origin = origin
    this.habits = { ...ordinary, ...habits }
    this.directory = directory
  }

  /** Adds an image with all that belongs to it; the tag, if any, moves to it. */
  put(repository: string, tag: string | undefined, bundle: Bundle): void {
    this.#holdings.put(repository, tag, bundle)
    this.backend?.registry.put(this.backend.prefix + repository, tag, bundle)
  }

  putBlob(repository: string, blob: StoredBlob): void {
    this.#holdings.putBlob(repository, blob)
    this.backend?.registry.putBlob(this.backend.prefix + repository, blob)
  }

  /** Forgets a tag, a manifest or a blob of a repository; what else refers to it stays. */
  remove(repository: string, what: { tag?: string; manifest?: Digest; blob?: Digest }): void {
    this.#holdings.remove(repository, what)
    this.backend?.registry.remove(this.backend.prefix + repository, what)
  }

  removeRepository(repository: string): void {
    this.#holdings.removeRepository(repository)
    this.backend?.registry.removeRepository(this.backend.prefix + repository)
  }

  addUser(
    name: string,
    password: string,
    { pull = ['*'], identityToken }: { pull?: readonly string[]; identityToken?: string } = {},
  ): void {
    this.directory.users.set(name, { name, password, pull, identityToken })
  }

  /** Only users who were given it may pull it. */
  makePrivate(repository: string): void {
    this.directory.privates.add(repository)
  }

  handle(request: Request): Answer {
    const issued = this.habits.auth?.issue(request)
    if (issued) return issued
    const answer = this.#answer(request)
    return {
      ...answer,
      headers: { 'docker-distribution-api-version': 'registry/2.0', ...answer.headers },
    }
  }

  #answer(request: Request): Answer {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return ociError(405, 'UNSUPPORTED', 'this registry is only read from', { allow: 'GET, HEAD' })
    }
    if (request.path === '/v2/' || request.path === '/v2') return this.#ping(request)
    const target = parseTarget(request.path)
    if (!target) return ociError(404, 'UNSUPPORTED', 'no such endpoint')
    const verdict = this.habits.auth?.authorize(request, target.repository) ?? { kind: 'admitted', user: '' }
    if (verdict.kind === 'refused') return verdict.answer
    if (this.habits.elsewhere && target.kind !== 'blobs') return this.habits.elsewhere(request)
    if (target.kind === 'referrers') return this.#referrers(request, target)
    const repository = this.#holdings.find(target.repository)
    if (!repository) return this.#unknown(target.repository)
    if (target.kind === 'blobs') return this.#blob(request, repository, target.reference)
    if (target.kind === 'manifests') {
      return this.#manifest(request, repository, target.reference, verdict.user || request.address)
    }
    return listTags(request, target.repository, repository, {
      page: this.habits.tagPage,
      links: this.habits.tagLinks,
      origin: this.#origin,
    })
  }

  #ping(request: Request): Answer {
    const verdict = this.habits.auth?.authorize(request, undefined)
    return verdict?.kind === 'refused' ? verdict.answer : json(200, {})
  }

  #unknown(name: string): Answer {
    const { unknown, auth } = this.habits
    if (unknown === 401 && auth) return auth.insufficient(name)
    return unknown === 403
      ? ociError(
          403,
          'DENIED',
          `Permission "artifactregistry.repositories.downloadArtifacts" denied on ${name}`,
        )
      : ociError(404, 'NAME_UNKNOWN', `repository name not known to registry: ${name}`)
  }

  #manifest(request: Request, repository: Repository, reference: string, identity: string): Answer {
    const { rateLimit, digestOnGet } = this.habits
    const found = manifestOf(repository, reference)
    const free = request.method === 'HEAD'
    const refusal = found && !free ? rateLimit?.refuse(identity) : undefined
    if (refusal) return refusal
    const limits = rateLimit?.headers(identity) ?? {}
    if (!found) return ociError(404, 'MANIFEST_UNKNOWN', 'manifest unknown', limits)
    const etag = `"${found.digest}"`
    if (request.headers['if-none-match'] === etag) return answer(304, '', { ...limits, etag })
    return {
      status: 200,
      headers: {
        'content-type': found.mediaType,
        'content-length': String(found.body.length),
        ...(free || digestOnGet ? { 'docker-content-digest': found.digest } : {}),
        etag,
        ...limits,
      },
      body: whole(bufferContent(found.body)),
    }
  }

  #blob(request: Request, { blobs }: Repository, reference: string): Answer {
    const { headBlob, blobRedirect } = this.habits
    if (request.method === 'HEAD' && headBlob !== 200)
      return ociError(headBlob, 'UNSUPPORTED', 'no HEAD of blobs')
    const blob = isDigest(reference) ? blobs.get(reference) : undefined
    if (!blob) return ociError(404, 'BLOB_UNKNOWN', 'blob unknown to registry')
    if (blobRedirect) return blobRedirect(request, blob.digest)
    return ranged(request, blob.content, {
      'content-type': 'application/octet-stream',
      'docker-content-digest': blob.digest,
      etag: `"${blob.digest}"`,
    })
  }

  #referrers(request: Request, { repository, reference }: Target): Answer {
    const { referrers, referrersFilter, referrersPage } = this.habits
    if (typeof referrers === 'function') return referrers(request)
    if (referrers === 'none') return answer(404, '404 page not found\n', { 'content-type': 'text/plain' })
    if (!isDigest(reference)) return ociError(400, 'DIGEST_INVALID', 'invalid digest')
    return listReferrers(request, reference, this.#holdings.find(repository), {
      page: referrersPage,
      links: 'relative',
      origin: this.#origin,
      filter: referrersFilter,
    })
  }
}

function parseTarget(path: string): Target | undefined {
  const tags = /^\/v2\/(.+)\/tags\/list$/.exec(path)
  if (tags?.[1]) return { repository: tags[1], kind: 'tags', reference: '' }
  const match = /^\/v2\/(.+)\/(manifests|blobs|referrers)\/([^/]+)$/.exec(path)
  if (!match) return undefined
  const [, repository = '', kind, reference = ''] = match
  return { repository, kind: kind as Target['kind'], reference: decodeURIComponent(reference) }
}
