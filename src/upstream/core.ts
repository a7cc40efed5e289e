/** What all who ask one upstream share: connections, breakers, tokens, and what its URLs have turned out to want. */
import { createHash } from 'node:crypto'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Lookup } from '../runtime/lookup.ts'
import { Semaphore } from '../stream/semaphore.ts'
import { Accounts } from './auth/accounts.ts'
import { Authorizer } from './auth/authorize.ts'
import { Logins } from './auth/logins.ts'
import { Tokens } from './auth/token.ts'
import { CloudHttp } from './credentials/cloud-http.ts'
import { createCredentials } from './credentials/create.ts'
import type { Environment } from './credentials/environment.ts'
import { Endpoint } from './endpoint.ts'
import { Endpoints } from './endpoints.ts'
import { createAddressRule } from './transport/address.ts'
import { Agents } from './transport/agent.ts'
import { Bandwidth } from './transport/bandwidth.ts'
import { Breaker } from './transport/breaker.ts'
import { RateLimits, type SharedPauses } from './transport/rate-limit.ts'
import { Transport } from './transport/transport.ts'
import type { CredentialSource, UpstreamOptions, UpstreamUrl } from './upstream.ts'

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

export interface Core {
  readonly options: UpstreamOptions
  readonly agents: Agents
  readonly cloud: CloudHttp
  readonly breaker: Breaker
  readonly endpoints: Endpoints
  readonly fills: Semaphore
  readonly bandwidth: Bandwidth | undefined
  readonly metrics: Metrics
  readonly optionsHash: string
  readonly logins: Logins
}

export function createCore(options: UpstreamOptions, deps: UpstreamDeps): Core {
  const { clock, metrics } = deps
  const agents = new Agents(options, deps.lookup, createAddressRule(options.allowPrivate))
  const breaker = new Breaker(clock)
  const transport = new Transport({ ...deps, agents, breaker })
  const tokens = new Tokens({ ...deps, transport })
  const cloud = new CloudHttp({ lookup: deps.lookup, proxy: options.proxy })
  const shared = { options, deps, transport, tokens, cloud }
  const endpoints = options.urls.map(url => new Accounts(createEndpoints(url, shared), deps))
  const { fills, bandwidth } = options.concurrency
  return {
    options,
    agents,
    cloud,
    breaker,
    endpoints: new Endpoints(endpoints, clock),
    fills: new Semaphore(fills),
    bandwidth: bandwidth > 0 ? new Bandwidth(bandwidth, clock) : undefined,
    metrics,
    optionsHash: shortHash(JSON.stringify(options)),
    logins: new Logins(clock),
  }
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
export function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}
