/** Puts the client of one upstream together, and holds what all its URLs share. */
import { createHash } from 'node:crypto'
import { finished } from 'node:stream'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Digest } from '../oci/digest.ts'
import type { Descriptor } from '../oci/manifest.ts'
import type { RepositoryName } from '../oci/name.ts'
import { type Reference, referenceText } from '../oci/reference.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Lookup } from '../runtime/lookup.ts'
import { Semaphore } from '../stream/semaphore.ts'
import { abortable } from './abort.ts'
import { Accounts } from './accounts.ts'
import { createAddressRule } from './address.ts'
import { Agents } from './agent.ts'
import { Authorizer } from './authorize.ts'
import { Bandwidth } from './bandwidth.ts'
import { type BlobHead, headBlob, openBlob } from './blob.ts'
import { Breaker } from './breaker.ts'
import { CloudHttp } from './credentials/cloud-http.ts'
import { createCredentials } from './credentials/create.ts'
import type { Environment } from './credentials/environment.ts'
import { Endpoint } from './endpoint.ts'
import { Endpoints } from './endpoints.ts'
import type { Subject } from './failure.ts'
import { getManifest, headManifest } from './manifest.ts'
import { assertAllowed } from './names.ts'
import { RateLimits, type SharedPauses } from './rate-limit.ts'
import { listReferrers } from './referrers.ts'
import { listTags } from './tags.ts'
import { Tokens } from './token.ts'
import { Transport } from './transport.ts'
import type {
  AskOptions,
  BlobAsk,
  BlobBody,
  CredentialSource,
  FetchedManifest,
  ManifestHead,
  RestingOrigin,
  TagPage,
  Upstream,
  UpstreamOptions,
  UpstreamUrl,
} from './upstream.ts'
import { UpstreamError } from './upstream-error.ts'

export interface UpstreamDeps {
  clock: Clock
  lookup: Lookup
  /** Names this registry in `CDN-Loop`. */
  loopId: string
  log: Logger
  metrics: Metrics
  /** Pauses after a 429 that other replicas heard of. */
  pauses?: SharedPauses | undefined
  /** Where the tools of clouds look for who we are; undefined: the process's own. */
  env?: Environment | undefined
}

export function createUpstream(options: UpstreamOptions, deps: UpstreamDeps): Upstream {
  return new Client(options, deps)
}

class Client implements Upstream {
  readonly registry: string
  readonly options: UpstreamOptions
  readonly #agents: Agents
  readonly #cloud: CloudHttp
  readonly #breaker: Breaker
  readonly #endpoints: Endpoints
  readonly #fills: Semaphore
  readonly #bandwidth: Bandwidth | undefined
  readonly #metrics: Metrics
  readonly #optionsHash: string

  constructor(options: UpstreamOptions, deps: UpstreamDeps) {
    const { clock } = deps
    this.registry = options.registry
    this.options = options
    this.#metrics = deps.metrics
    this.#optionsHash = shortHash(JSON.stringify(options))
    this.#agents = new Agents(options, deps.lookup, createAddressRule(options.allowPrivate))
    this.#breaker = new Breaker(clock)
    const transport = new Transport({ ...deps, agents: this.#agents, breaker: this.#breaker })
    const tokens = new Tokens({ ...deps, transport })
    this.#cloud = new CloudHttp({ lookup: deps.lookup, proxy: options.proxy })
    const shared = { options, deps, transport, tokens, cloud: this.#cloud }
    const endpoints = options.urls.map(url => new Accounts(createEndpoints(url, shared), deps))
    this.#endpoints = new Endpoints(endpoints, clock)
    this.#fills = new Semaphore(options.concurrency.fills)
    const { bandwidth } = options.concurrency
    this.#bandwidth = bandwidth > 0 ? new Bandwidth(bandwidth, clock) : undefined
  }

  get identity(): string {
    const versions = this.#endpoints.all.map(({ credentialVersion }) => credentialVersion)
    return shortHash([this.#optionsHash, ...versions].join(' '))
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
      const body = this.#bandwidth ? this.#bandwidth.pace(blob.body) : blob.body
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
    return Math.min(...this.#endpoints.all.map(({ pausedMs }) => pausedMs))
  }

  resting(): readonly RestingOrigin[] {
    return this.#breaker.resting()
  }

  async close(): Promise<void> {
    await this.#agents.close()
    await this.#cloud.destroy()
  }

  async destroy(): Promise<void> {
    await Promise.all([this.#agents.destroy(), this.#cloud.destroy()])
  }

  /** Whoever calls: a name that is kept off this upstream causes no request. */
  async #first<T>({ repository, ask, ...about }: Ask, task: Task<T>): Promise<T> {
    this.assertAllowed(repository)
    ask.signal?.throwIfAborted()
    const subject = { upstream: this.registry, ...about }
    try {
      return await this.#endpoints.first({ ...ask, repository }, subject, task)
    } catch (error) {
      if (error instanceof UpstreamError) {
        this.#metrics.upstreamErrors.inc({ upstream: this.registry, reason: error.failure })
      }
      throw error
    }
  }

  async #place(signal: AbortSignal | undefined): Promise<() => void> {
    const place = this.#fills.acquire()
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

/** One for each credential of the URL. */
function createEndpoints(
  { url, credentials: source }: UpstreamUrl,
  { options, deps, transport, tokens, cloud }: Shared,
): Endpoint[] {
  const { clock, log, env = process.env } = deps
  const base = new URL(url)
  // A user name in the URL would end in logs; credentials have a key of their own.
  base.username = ''
  base.password = ''
  const { authRealms, registry } = options
  const authorizer = new Authorizer({ tokens, registry: base, authRealms, log })
  return sourcesOf(source).map((each, nth) => {
    const limits = new RateLimits({ upstream: registry, origin: base.origin }, deps)
    const credentials = createCredentials(each, base, { clock, log, env, http: cloud, upstream: registry })
    return new Endpoint(registry, base, { transport, authorizer, credentials, nth, limits, clock, log })
  })
}

/** Without any there is one way to ask: anonymously. */
function sourcesOf(source: UpstreamUrl['credentials']): readonly (CredentialSource | undefined)[] {
  return Array.isArray(source) ? source : [source as CredentialSource | undefined]
}

interface Shared {
  options: UpstreamOptions
  deps: UpstreamDeps
  transport: Transport
  tokens: Tokens
  cloud: CloudHttp
}

/** Tells identities apart; the secrets that went in cannot be read back from so few bits. */
function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}
