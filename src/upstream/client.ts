/** The client of one upstream: asked by us, or by a caller with a login of his own. */
import { finished } from 'node:stream'
import type { Digest } from '../oci/digest.ts'
import type { Descriptor } from '../oci/manifest.ts'
import type { RepositoryName } from '../oci/name.ts'
import { type Reference, referenceText } from '../oci/reference.ts'
import { type Applicant, applicantOf, forCaller, type Login } from './auth/callers.ts'
import { type Core, createCore, shortHash, type UpstreamDeps } from './core.ts'
import type { CredentialProvider } from './credentials/credential.ts'
import { noCredentials } from './credentials/static.ts'
import type { Endpoint } from './endpoint.ts'
import { assertAllowed } from './names.ts'
import { type BlobHead, headBlob, openBlob } from './objects/blob.ts'
import { getManifest, headManifest } from './objects/manifest.ts'
import { listReferrers } from './objects/referrers.ts'
import { listTags } from './objects/tags.ts'
import { abortable } from './transport/abort.ts'
import type { Subject } from './transport/failure.ts'
import type {
  AskOptions,
  BlobAsk,
  BlobBody,
  FetchedManifest,
  ManifestHead,
  RestingOrigin,
  TagPage,
  Upstream,
  UpstreamOptions,
} from './upstream.ts'
import { UpstreamError } from './upstream-error.ts'

export function createUpstream(options: UpstreamOptions, deps: UpstreamDeps): Upstream {
  return new Client(createCore(options, deps))
}

/** Who asks, where that is not us. */
interface Caller {
  /** Undefined: he brought no login. */
  readonly applicant: Applicant | undefined
  readonly credentials: CredentialProvider
}

class Client implements Upstream {
  readonly registry: string
  readonly options: UpstreamOptions
  readonly #core: Core
  readonly #caller: Caller | undefined

  constructor(core: Core, caller?: Caller) {
    this.registry = core.options.registry
    this.options = core.options
    this.#core = core
    this.#caller = caller
  }

  get identity(): string {
    const { endpoints, optionsHash } = this.#core
    const { applicant } = this.#caller ?? {}
    const versions = endpoints.all.map(({ credentialVersion }) => credentialVersion)
    return shortHash([optionsHash, ...versions, ...(applicant ? [applicant.fingerprint] : [])].join(' '))
  }

  as(login: Login | undefined): Upstream {
    if (!login) return new Client(this.#core, { applicant: undefined, credentials: noCredentials })
    const { username, password } = login
    const credential = { kind: 'basic', username, password, isCallers: true } as const
    const applicant = applicantOf(login)
    const credentials = {
      version: applicant.fingerprint,
      get: async () => credential,
      taken: () => this.#core.logins.took(applicant),
    }
    return new Client(this.#core, { applicant, credentials })
  }

  assertAllowed(repository: RepositoryName): void {
    assertAllowed(this.options, repository)
  }

  headManifest(
    repository: RepositoryName,
    reference: Reference,
    ask: AskOptions = {},
  ): Promise<ManifestHead> {
    const text = `HEAD ${repository} manifests/${referenceText(reference)}`
    return this.#first({ repository, kind: 'manifest', text, ask }, (endpoint, signal) =>
      headManifest(endpoint, { repository, reference, signal }),
    )
  }

  getManifest(
    repository: RepositoryName,
    reference: Reference,
    ask: AskOptions & { maxBytes: number },
  ): Promise<FetchedManifest> {
    const text = `GET ${repository} manifests/${referenceText(reference)}`
    return this.#first({ repository, kind: 'manifest', text, ask }, (endpoint, signal) =>
      getManifest(endpoint, { repository, reference, maxBytes: ask.maxBytes, signal }),
    )
  }

  headBlob(repository: RepositoryName, digest: Digest, ask: AskOptions = {}): Promise<BlobHead> {
    const text = `HEAD ${repository} blobs/${digest}`
    return this.#first({ repository, kind: 'blob', text, ask }, (endpoint, signal) =>
      headBlob(endpoint, { repository, digest, signal }),
    )
  }

  async openBlob(repository: RepositoryName, digest: Digest, ask: BlobAsk = {}): Promise<BlobBody> {
    const { range } = ask
    const text = `GET ${repository} blobs/${digest}`
    const release = await this.#place(ask.signal)
    try {
      const blob = await this.#first({ repository, kind: 'blob', text, ask }, (endpoint, signal) =>
        openBlob(endpoint, { repository, digest, signal, ...(range ? { range } : {}) }),
      )
      const { bandwidth } = this.#core
      const body = bandwidth ? bandwidth.pace(blob.body) : blob.body
      finished(body, { writable: false }, release)
      return { ...blob, body }
    } catch (error) {
      release()
      throw error
    }
  }

  listTags(
    repository: RepositoryName,
    query: { n?: string; last?: string },
    ask: AskOptions = {},
  ): Promise<TagPage> {
    const text = `GET ${repository} tags/list`
    return this.#first({ repository, kind: 'tags', text, ask }, (endpoint, signal) =>
      listTags(endpoint, { repository, query, signal }),
    )
  }

  listReferrers(repository: RepositoryName, subject: Digest, ask: AskOptions = {}): Promise<Descriptor[]> {
    const text = `GET ${repository} referrers/${subject}`
    return this.#first({ repository, kind: 'referrers', text, ask }, (endpoint, signal) =>
      listReferrers(endpoint, { repository, subject, signal }),
    )
  }

  pausedMs(): number {
    return Math.min(...this.#core.endpoints.all.map(({ pausedMs }) => pausedMs))
  }

  resting(): readonly RestingOrigin[] {
    return this.#core.breaker.resting()
  }

  async close(): Promise<void> {
    await this.#core.agents.close()
    await this.#core.cloud.destroy()
  }

  async destroy(): Promise<void> {
    await Promise.all([this.#core.agents.destroy(), this.#core.cloud.destroy()])
  }

  /** Whoever calls: a name that is kept off this upstream causes no request. */
  async #first<T>({ repository, ask, ...about }: Ask, task: Task<T>): Promise<T> {
    this.assertAllowed(repository)
    ask.signal?.throwIfAborted()
    const subject = { upstream: this.registry, ...about }
    try {
      return await this.#asCaller({ ...ask, repository }, subject, task)
    } catch (error) {
      if (error instanceof UpstreamError) {
        this.#core.metrics.upstreamErrors.inc({ upstream: this.registry, reason: error.failure })
      }
      throw error
    }
  }

  async #asCaller<T>(ask: Ask['ask'] & { repository: string }, subject: Subject, task: Task<T>): Promise<T> {
    const { endpoints, logins } = this.#core
    const caller = this.#caller
    if (!caller) return endpoints.first(ask, subject, task)
    const asked = () =>
      endpoints.first(ask, subject, (endpoint, signal) => task(endpoint.as(caller.credentials), signal))
    try {
      return await (caller.applicant ? logins.try(caller.applicant, subject, asked) : asked())
    } catch (error) {
      throw forCaller(error, subject)
    }
  }

  async #place(signal: AbortSignal | undefined): Promise<() => void> {
    const place = this.#core.fills.acquire()
    try {
      return await abortable(place, signal)
    } catch (error) {
      void place.then(release => release())
      throw error
    }
  }
}

type Task<T> = (endpoint: Endpoint, signal: AbortSignal | undefined) => Promise<T>

interface Ask {
  repository: RepositoryName
  kind: Subject['kind']
  text: string
  ask: AskOptions & { attempt?: number }
}
