/** The configuration in force in the form of its file, for people: complete, and without secrets. */
import type { PolicyOptions } from '../access/options.ts'
import type { RedisOptions } from '../cluster/redis/redis.ts'
import { formatRedisAddress } from '../cluster/redis/address.ts'
import type { Identity, ListenAddress } from '../edge/listener.ts'
import type { CachePolicy, LocalNamespace, Quota } from '../pull/target.ts'
import type { ExecOptions } from '../upstream/credentials/exec.ts'
import type { CredentialSource, UpstreamOptions } from '../upstream/upstream.ts'
import { effectiveAccess, writtenPolicy } from './access/effective-access.ts'
import type { Config, DiskShare, ReplicaConfig, S3Config, UpstreamConfig } from './config.ts'
import { formatDuration, formatSize } from './quantity.ts'
import { countCertificates, redacted } from './redacted.ts'

export function effective(config: Config): unknown {
  const { publicUrl, trustedProxies, admin, store, index, collection, capacity, scrub, limits } = config
  const policies = {
    upstreams: new Map(Object.entries(config.policies.upstreams)),
    namespaces: new Map(Object.entries(config.policies.namespaces)),
  }
  return {
    ...listening(config.listen),
    hosts: config.hosts,
    ...(publicUrl === undefined ? {} : { publicUrl }),
    ...(trustedProxies.length > 0 ? { trustedProxies } : {}),
    ...(admin?.isDefault ? {} : { admin: { listen: admin ? formatAddress(admin) : 'off' } }),
    store: {
      path: store.path,
      collectEvery: formatDuration(collection.everyMs),
      grace: formatDuration(collection.graceMs),
      ...(capacity.maxBytes === Number.POSITIVE_INFINITY ? {} : { maxSize: formatSize(capacity.maxBytes) }),
      ...(capacity.minFree ? { minFree: formatShare(capacity.minFree) } : {}),
      scrubEvery: formatDuration(scrub.everyMs),
      scrubRate: formatSize(scrub.bytesPerSecond),
      ...(store.s3 ? { s3: effectiveBucket(store.s3) } : {}),
    },
    index: index ? effectiveRedis(index) : 'sqlite',
    ...(config.replica ? { replica: effectiveReplica(config.replica) } : {}),
    limits: {
      manifest: formatSize(limits.manifest),
      connections: limits.connections,
      connectionsPerClient: limits.connectionsPerClient,
      drain: formatDuration(limits.drainMs),
      partial: formatDuration(limits.partialMs),
      stalled: formatDuration(limits.stalledMs),
      slowest: formatSize(limits.slowest),
      headers: formatDuration(limits.headersMs),
      pushMemory: formatSize(limits.pushMemory),
      upload: formatSize(limits.upload),
      uploadIdle: formatDuration(limits.uploadIdleMs),
      uploads: limits.uploads,
      memory: formatSize(limits.memory),
      page: limits.page,
    },
    ...(config.access ? { access: effectiveAccess(config.access) } : {}),
    upstreams: config.upstreams.map(upstream => ({
      ...effectiveUpstream(upstream),
      ...effectivePolicy(policies.upstreams.get(upstream.options.registry)),
    })),
    local: config.local.map(local => ({
      ...effectiveLocal(local),
      ...effectivePolicy(policies.namespaces.get(local.name)),
    })),
  }
}

function effectivePolicy(options: PolicyOptions | undefined): { policy?: unknown } {
  return options ? { policy: writtenPolicy(options) } : {}
}

function effectiveRedis({ address, prefix, tls = {}, ...users }: RedisOptions): unknown {
  const username = users.username ?? address.username
  const password = users.password ?? address.password
  const { sentinelUsername, sentinelPassword } = users
  return {
    url: formatRedisAddress(address),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password: redacted }),
    ...(sentinelUsername === undefined ? {} : { sentinelUsername }),
    ...(sentinelPassword === undefined ? {} : { sentinelPassword: redacted }),
    prefix,
    ...effectiveTls(tls),
  }
}

function effectiveTls({ ca, cert, key }: UpstreamOptions['tls']): object {
  return {
    ...(ca === undefined ? {} : { ca: countCertificates(ca) }),
    ...(cert === undefined ? {} : { cert: countCertificates(cert) }),
    ...(key === undefined ? {} : { key: redacted }),
  }
}

function effectiveReplica({ advertise, ca, owner }: ReplicaConfig): unknown {
  return {
    advertise,
    secret: redacted,
    ...(ca === undefined ? {} : { ca: countCertificates(ca) }),
    ...(owner === undefined ? {} : { owner }),
  }
}

/** In the short form where it says everything. */
function listening(addresses: readonly ListenAddress[]): object {
  if (addresses.every(({ role, tls }) => role === 'registry' && !tls))
    return { listen: addresses.map(formatAddress) }
  const listeners = addresses.map(({ role, tls, ...address }) => ({
    address: formatAddress(address),
    role,
    ...(tls ? { tls: effectiveIdentity(tls) } : {}),
  }))
  return { listeners }
}

function effectiveIdentity({ cert, clients }: Identity): unknown {
  const shown = { cert: countCertificates(cert), key: redacted }
  if (!clients) return shown
  const { ca, crl, isRequired } = clients
  return {
    ...shown,
    clientCa: countCertificates(ca),
    clientAuth: isRequired ? 'required' : 'optional',
    ...(crl === undefined ? {} : { clientCrl: count(crl, 'list') }),
  }
}

function effectiveUpstream({
  options,
  aliases,
  isDefault,
  shareWithEveryone,
  policy,
  keeping,
}: UpstreamConfig): object {
  const { registry, urls, access, allow, deny } = options
  return {
    registry,
    urls: urls.map(({ url, credentials }) => ({
      url,
      ...(credentials ? { credentials: redactAll(credentials) } : {}),
    })),
    aliases,
    default: isDefault,
    access,
    allow,
    deny,
    shareWithEveryone,
    tags: policy.tags.map(({ match, freshMs }) => ({ match, fresh: formatDuration(freshMs) })),
    listingsFresh: formatDuration(policy.listingsFreshMs),
    maxStale: formatDuration(policy.maxStaleMs),
    onNotFound: { serveFor: formatDuration(policy.onNotFound.serveForMs) },
    notFoundFor: formatDuration(policy.notFoundForMs),
    ...(access === 'passthrough' ? { passthrough: effectiveVerdicts(policy.passthrough) } : {}),
    rateLimited: policy.rateLimited,
    ...(keeping.maxBytes === Number.POSITIVE_INFINITY ? {} : { maxSize: formatSize(keeping.maxBytes) }),
    unused: formatDuration(keeping.unusedMs),
    pin: keeping.pins.map(({ match, tags }) => (tags === undefined ? match : `${match}:${tags}`)),
    ...connection(options),
  }
}

function effectiveVerdicts({ verdictMs, outageMs }: CachePolicy['passthrough']): object {
  return { verdict: formatDuration(verdictMs), outage: formatDuration(outageMs) }
}

function effectiveLocal({ untaggedMs, retention, quota, ...local }: LocalNamespace): object {
  return {
    ...local,
    ...(quota ? { quota: effectiveQuota(quota) } : {}),
    untagged: formatDuration(untaggedMs),
    retention: retention.map(({ match, keep: { last, newerThanMs, pulledWithinMs }, enforce }) => ({
      match,
      keep: {
        ...(last === undefined ? {} : { last }),
        ...(newerThanMs === undefined ? {} : { newerThan: formatDuration(newerThanMs) }),
        ...(pulledWithinMs === undefined ? {} : { pulledWithin: formatDuration(pulledWithinMs) }),
      },
      enforce,
    })),
  }
}

function effectiveQuota({ bytes, tags }: Quota): unknown {
  return {
    ...(bytes === undefined ? {} : { bytes: formatSize(bytes) }),
    ...(tags === undefined ? {} : { tags }),
  }
}

function connection(options: UpstreamOptions): object {
  const { timeouts, concurrency, tls, proxy } = options
  return {
    authRealms: options.authRealms,
    allowPrivate: options.allowPrivate,
    timeouts: {
      connect: formatDuration(timeouts.connectMs),
      headers: formatDuration(timeouts.headersMs),
      revalidate: formatDuration(timeouts.revalidateMs),
      idle: formatDuration(timeouts.idleMs),
    },
    concurrency: { fills: concurrency.fills, bandwidth: formatSize(concurrency.bandwidth) },
    http2: options.http2,
    ...effectiveTls(tls),
    ...(proxy === undefined ? {} : { proxy: redactUser(proxy) }),
  }
}

function effectiveBucket(config: S3Config): unknown {
  const { credentials, ca, timeouts, endpoint, prefix, patienceMs, links, linkedFrom, ...bucket } = config
  return {
    ...bucket,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(prefix === '' ? {} : { prefix }),
    ...(credentials ? { accessKeyId: credentials.accessKeyId, secretAccessKey: redacted } : {}),
    ...(ca === undefined ? {} : { ca: countCertificates(ca) }),
    redirect: effectiveLinks({ links, linkedFrom }),
    timeouts: {
      connect: formatDuration(timeouts.connectMs),
      request: formatDuration(timeouts.requestMs),
      pull: formatDuration(patienceMs),
      idle: formatDuration(timeouts.idleMs),
    },
  }
}

function effectiveLinks({ links, linkedFrom }: Pick<S3Config, 'links' | 'linkedFrom'>): unknown {
  if (!links || linkedFrom === undefined) return false
  const { endpoint, validMs } = links
  return {
    from: formatSize(linkedFrom),
    valid: formatDuration(validMs),
    ...(endpoint === undefined ? {} : { endpoint }),
  }
}

function formatShare({ bytes, share }: DiskShare): string {
  return share > 0 ? `${Math.round(share * 100)}%` : formatSize(bytes)
}

function redactAll(sources: CredentialSource | readonly CredentialSource[]): unknown {
  return 'kind' in sources ? redact(sources) : sources.map(redact)
}

function redact(source: CredentialSource): unknown {
  const { kind } = source
  if (kind === 'basic') return { username: source.username, password: redacted }
  if (kind === 'token') return { token: redacted }
  if (kind === 'docker') return { docker: source.path }
  if (kind === 'exec') return { exec: redactProgram(source) }
  const { kind: _, ...keys } = source
  return { [kind]: Object.fromEntries(Object.entries(keys).filter(([, value]) => value !== undefined)) }
}

/** Arguments are for everybody to see, and still nobody should find a secret here that was put there. */
function redactProgram({ command, args, env, timeoutMs, apiVersion }: ExecOptions): unknown {
  return {
    command,
    args: args.map(() => redacted),
    env: Object.fromEntries(Object.keys(env).map(name => [name, redacted])),
    timeout: formatDuration(timeoutMs),
    apiVersion,
  }
}

function redactUser(proxy: string): string {
  const url = new URL(proxy)
  return url.username === '' && url.password === ''
    ? proxy
    : `${url.protocol}//${redacted}@${url.host}${url.pathname}`
}

function count(pem: string, what: string): string {
  const number = pem.split('-----BEGIN ').length - 1
  return `<${number} ${what}${number === 1 ? '' : 's'}>`
}

function formatAddress({ host, port }: Pick<ListenAddress, 'host' | 'port'>): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
