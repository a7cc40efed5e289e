/** The client of one upstream registry as the rest of Layover sees it: objects by name, or an UpstreamError. */
import type { Readable } from 'node:stream'
import type { Digest } from '../oci/digest.ts'
import type { Descriptor } from '../oci/manifest.ts'
import type { RepositoryName } from '../oci/name.ts'
import type { Reference } from '../oci/reference.ts'
import type { Login } from './auth/callers.ts'
import type { AcrOptions } from './credentials/acr.ts'
import type { EcrOptions } from './credentials/ecr.ts'
import type { ExecOptions } from './credentials/exec.ts'
import type { GarOptions } from './credentials/gar.ts'

export interface UpstreamOptions {
  /** The name under which clients ask for it, e.g. `docker.io`. */
  registry: string
  /** Tried in order. */
  urls: readonly UpstreamUrl[]
  access: 'public' | 'shared' | 'passthrough'
  /** Patterns over repository names: `*` stays within a component, `**` crosses. Empty: every name. */
  allow: readonly string[]
  deny: readonly string[]
  /** Hosts (`host` or `host:port`) trusted with our password besides the registry's own and the built-in table. */
  authRealms: readonly string[]
  /** CIDRs that realm and redirect hosts may resolve to although they are not public. */
  allowPrivate: readonly string[]
  timeouts: { connectMs: number; headersMs: number; revalidateMs: number; idleMs: number }
  /** `bandwidth` is bytes a second for all fills of this upstream together; 0 is unlimited. */
  concurrency: { fills: number; bandwidth: number }
  http2: boolean
  /** PEM texts. */
  tls: { ca?: string; cert?: string; key?: string }
  /** Proxy URL; undefined: HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the environment. */
  proxy: string | undefined
}

export interface UpstreamUrl {
  /** Without a trailing slash; a path is kept in front of `/v2/`. */
  url: string
  /** Several: the next is tried where one is refused. */
  credentials: CredentialSource | readonly CredentialSource[] | undefined
}

/** Where a credential comes from. Secrets are resolved when the configuration is loaded. */
export type CredentialSource =
  | { kind: 'basic'; username: string; password: string }
  /** A bearer token sent as it is. */
  | { kind: 'token'; token: string }
  /** A Docker `config.json` (or podman `auth.json`), read again when it changes; with credential helpers. */
  | { kind: 'docker'; path: string }
  /** A credential provider of the kubelet. */
  | ({ kind: 'exec' } & ExecOptions)
  /** Who we are in AWS, Google Cloud and Azure; files are read and the machine is asked at each renewal. */
  | ({ kind: 'ecr' } & EcrOptions)
  | ({ kind: 'gar' } & GarOptions)
  | ({ kind: 'acr' } & AcrOptions)

export interface AskOptions {
  signal?: AbortSignal
  /** Bound on the whole exchange, tokens and redirects included; for revalidations. */
  totalMs?: number
}

export interface ManifestHead {
  /** Undefined where upstream does not name one. */
  digest: Digest | undefined
  mediaType: string
  /** Bytes; undefined where upstream does not say. */
  size: number | undefined
}

export interface FetchedManifest {
  /** The bytes as upstream sent them, checked against `digest`. */
  body: Buffer
  /** As asked, or as upstream named it, or sha256 of the body. */
  digest: Digest
  mediaType: string
  /** No credential of ours was used. */
  anonymous: boolean
}

export interface BlobBody {
  /** Position of the body's first byte. */
  first: number
  /** Bytes of the whole blob; undefined for a chunked answer. */
  total: number | undefined
  /** Bytes this body announces; undefined for a chunked answer. */
  length: number | undefined
  etag: string | undefined
  anonymous: boolean
  /** Errors with an UpstreamError when it breaks, stalls, or ends short of `length`. Destroy it to stop. */
  body: Readable
}

export interface BlobAsk extends AskOptions {
  /** Positions, inclusive; `last` undefined: to the end. Undefined: the whole blob. */
  range?: { first: number; last?: number }
  /** How often this blob was tried already: the client rotates through its URLs. */
  attempt?: number
}

export interface TagPage {
  tags: string[]
  /** The query of upstream's next page, to be handed back as it is. */
  next: { n?: string; last?: string } | undefined
}

export interface RestingOrigin {
  /** `https://registry-1.docker.io` */
  readonly origin: string
  readonly reason: string
  /** How long it is left alone; 0: the next request tries it. */
  readonly restingMs: number
}

/**
 * Every method rejects with an UpstreamError and with nothing else, except for an aborted `signal` (its reason).
 * Nothing is retried here but an expired token or credential, and a further credential or URL of the upstream where one
 * failed:
 * `not-found` means that every URL said so.
 */
export interface Upstream {
  readonly registry: string
  readonly options: UpstreamOptions
  /** Changes when options or credentials change, so that verdicts about one identity do not serve another. */
  readonly identity: string
  /** @throws UpstreamError not-allowed, before any request */
  assertAllowed(repository: RepositoryName): void
  headManifest(repository: RepositoryName, reference: Reference, options?: AskOptions): Promise<ManifestHead>
  /** Refuses bodies over `maxBytes` with `too-large`, without buffering them. */
  getManifest(
    repository: RepositoryName,
    reference: Reference,
    options: AskOptions & { maxBytes: number },
  ): Promise<FetchedManifest>
  /** Falls back to a GET of the first byte where upstream refuses HEAD (ECR Public). `size` undefined: confirmed, but unknown. */
  headBlob(
    repository: RepositoryName,
    digest: Digest,
    options?: AskOptions,
  ): Promise<{ size: number | undefined; anonymous: boolean }>
  /**
   * Resolves at upstream's headers. A range that upstream ignores comes back with `first: 0`, one that begins at the
   * blob's very end as an empty body; one that cannot be satisfied rejects with `corrupt`.
   */
  openBlob(repository: RepositoryName, digest: Digest, ask?: BlobAsk): Promise<BlobBody>
  listTags(
    repository: RepositoryName,
    query: { n?: string; last?: string },
    options?: AskOptions,
  ): Promise<TagPage>
  /** Every page of the referrers API, or the fallback tag's index. Empty when upstream has neither. */
  listReferrers(repository: RepositoryName, subject: Digest, options?: AskOptions): Promise<Descriptor[]>
  /**
   * This upstream as one who brings his own login asks it; undefined: as one who brings none. It shares everything but the
   * credential, costs next to nothing, and fails with `caller-refused` where upstream does not let him.
   */
  as(login: Login | undefined): Upstream
  /** Milliseconds until manifest GETs are tried again after a 429; 0: now. */
  pausedMs(): number
  /** Origins that are not asked at the moment because they failed. */
  resting(): readonly RestingOrigin[]
  /** Resolves when the exchanges under way have ended. New ones fail. */
  close(): Promise<void>
  /** Ends the exchanges under way. */
  destroy(): Promise<void>
}
