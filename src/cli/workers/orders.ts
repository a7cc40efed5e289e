/** What the primary and its servers say to each other. */
import type { AccessOptions } from '../../access/options.ts'
import type { Config } from '../../config/config.ts'
import type { BoundAddress } from '../../edge/listener.ts'
import type { Inlet } from '../../edge/siblings/sibling.ts'
import type { IndexState, RepositoryKey } from '../../index/index.ts'
import type { Counted } from '../../observe/sum.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Span } from '../../store/files/life.ts'

/** Of the primary. A server answers when it has taken it in. */
export type Order =
  | {
      readonly kind: 'start'
      readonly config: Config
      /** Other replicas may own the local names. */
      readonly sharesLocalNames: boolean
      /** Where the primary answers what a server cannot. */
      readonly inlet: Inlet
      readonly index: IndexState | undefined
      /** Of the store. */
      readonly doubtful: Span | undefined
      /** Repositories that change right now. */
      readonly changing: readonly RepositoryKey[]
    }
  | { readonly kind: 'reload'; readonly config: Config }
  /** Of the repository nothing is to be answered any more until it has changed. */
  | { readonly kind: 'changing'; readonly key: RepositoryKey }
  /** The index says what the repository has now. */
  | { readonly kind: 'changed'; readonly key: RepositoryKey; readonly index: IndexState | undefined }
  | { readonly kind: 'index'; readonly index: IndexState | undefined }
  /** The bytes were damaged, and are not to be given any more. */
  | { readonly kind: 'dropped'; readonly digest: Digest; readonly isGone: boolean }
  /** As `dropped`, of pushed bytes. */
  | { readonly kind: 'quarantined'; readonly digest: Digest }
  | { readonly kind: 'metrics' }
  | { readonly kind: 'stop'; readonly drainMs: number }

export interface OrderAnswers {
  start: readonly BoundAddress[]
  reload: undefined
  changing: undefined
  changed: undefined
  index: undefined
  dropped: undefined
  quarantined: undefined
  metrics: Counted
  stop: undefined
}

/** Of a server. It waits for no answer but of `counts`. */
export type Report =
  /** A manifest was pulled, and it is time to take it down. */
  | { readonly kind: 'pulled'; readonly key: RepositoryKey; readonly digest: Digest }
  /** Cached bytes were asked for. */
  | { readonly kind: 'used'; readonly digests: readonly Digest[] }
  /** Asked as SharedCounts is, and answered. */
  | { readonly kind: 'counts'; readonly increments: ReadonlyMap<string, number>; readonly lifeMs: number }

/**
 * Servers talk to no upstream and to no bucket: they are not told any secret. A port that the system chose stays what
 * it is.
 *
 * @param bound what is listened on already, in the order of the configuration
 */
export function forServers(config: Config, bound: readonly BoundAddress[]): Config {
  const upstreams = config.upstreams.map(upstream => ({
    ...upstream,
    options: {
      ...upstream.options,
      urls: upstream.options.urls.map(({ url }) => ({ url, credentials: undefined })),
      tls: {},
      proxy: undefined,
    },
  }))
  const access = config.access && withoutSecrets(config.access)
  const store = { path: config.store.path }
  const listen = config.listen.map((address, at) => ({ ...address, port: bound[at]?.port ?? address.port }))
  return { ...config, listen, access, store, upstreams, index: undefined, replica: undefined }
}

function withoutSecrets(access: AccessOptions): AccessOptions {
  const { tokens, webhook } = access
  return {
    ...access,
    users: [],
    oidc: [],
    tokens: { ...tokens, keys: [] },
    webhook: webhook && { ...webhook, url: '', token: undefined },
  }
}
