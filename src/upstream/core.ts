/** What all who ask one upstream share: connections, breakers, tokens, and what its URLs have turned out to want. */
import { createHash } from 'node:crypto'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Lookup } from '../runtime/lookup.ts'
import { Semaphore } from '../stream/semaphore.ts'
import { createAddressRule } from './address.ts'
import { Agents } from './agent.ts'
import { Authorizer } from './authorize.ts'
import { Bandwidth } from './bandwidth.ts'
import { Breaker } from './breaker.ts'
import type { CredentialProvider } from './credentials/credential.ts'
import { DockerConfigCredentials } from './credentials/docker-config.ts'
import { noCredentials, staticCredentials } from './credentials/static.ts'
import { Endpoint } from './endpoint.ts'
import { Endpoints } from './endpoints.ts'
import { Logins } from './logins.ts'
import { RateLimits, type SharedPauses } from './rate-limit.ts'
import { Tokens } from './token.ts'
import { Transport } from './transport.ts'
import type { UpstreamOptions, UpstreamUrl } from './upstream.ts'

export interface UpstreamDeps {
  clock: Clock
  lookup: Lookup
  /** Names this registry in `CDN-Loop`. */
  loopId: string
  log: Logger
  metrics: Metrics
  /** Pauses after a 429 that other replicas heard of. */
  pauses?: SharedPauses | undefined
}

export interface Core {
  readonly options: UpstreamOptions
  readonly agents: Agents
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
  const endpoints = options.urls.map(url => createEndpoint(url, { options, deps, transport, tokens }))
  const { fills, bandwidth } = options.concurrency
  return {
    options,
    agents,
    breaker,
    endpoints: new Endpoints(endpoints, clock),
    fills: new Semaphore(fills),
    bandwidth: bandwidth > 0 ? new Bandwidth(bandwidth, clock) : undefined,
    metrics,
    optionsHash: shortHash(JSON.stringify(options)),
    logins: new Logins(clock),
  }
}

function createEndpoint(
  { url, credentials: source }: UpstreamUrl,
  { options, deps, transport, tokens }: Shared,
): Endpoint {
  const { clock, log } = deps
  const base = new URL(url)
  // A user name in the URL would end in logs; credentials have a key of their own.
  base.username = ''
  base.password = ''
  const { authRealms, registry } = options
  const authorizer = new Authorizer({ tokens, registry: base, authRealms, log })
  const limits = new RateLimits({ upstream: registry, origin: base.origin }, deps)
  const credentials = createCredentials(source, base.host, clock)
  return new Endpoint(registry, base, { transport, authorizer, credentials, limits, clock, log })
}

interface Shared {
  options: UpstreamOptions
  deps: UpstreamDeps
  transport: Transport
  tokens: Tokens
}

function createCredentials(
  source: UpstreamUrl['credentials'],
  host: string,
  clock: Clock,
): CredentialProvider {
  if (!source) return noCredentials
  return source.kind === 'docker'
    ? new DockerConfigCredentials(source.path, host, clock)
    : staticCredentials(source)
}

/** Tells identities apart; the secrets that went in cannot be read back from so few bits. */
export function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}
