/** From the file's values to the configuration in force: short forms written out, defaults that depend on others. */
import type { PolicyOptions } from '../access/options.ts'
import type { AdminAddress } from '../admin/listen.ts'
import type { RedisOptions } from '../cluster/redis/redis.ts'
import type { Identity, ListenAddress } from '../edge/listener.ts'
import type { LocalNamespace } from '../pull/target.ts'
import type { CredentialSource, UpstreamOptions, UpstreamUrl } from '../upstream/upstream.ts'
import { accessOptions } from './access/access-schema.ts'
import { type PolicyEntry, policyOptions } from './access/policy-schema.ts'
import type { Config, S3Config, UpstreamConfig } from './config.ts'
import type { Credentials } from './credentials-schema.ts'
import { hub, hubAliases, hubUrl } from './docker-hub.ts'
import { defaultName } from './local-rules.ts'
import type { S3Entry } from './s3-schema.ts'
import type { ConfigFile, LocalEntry } from './schema.ts'
import type { UpstreamEntry } from './upstream-schema.ts'

type ListenerTls = NonNullable<ConfigFile['listeners'][number]['tls']>

/** @param resolvePath makes a path of the file absolute */
export function assemble(file: ConfigFile, resolvePath: (path: string) => string): Config {
  const { limits } = file
  const namesDefault = file.upstreams.some(upstream => upstream.default === true)
  const upstreams = file.upstreams.map(entry => assembleUpstream(entry, { namesDefault, resolvePath }))
  return {
    listen: listenAddresses(file),
    hosts: file.hosts,
    publicUrl: file.publicUrl,
    trustedProxies: file.trustedProxies,
    admin: adminAddress(file),
    store: { path: resolvePath(file.store.path), s3: file.store.s3 && bucketOf(file.store.s3) },
    index: redisOptions(file),
    collection: { everyMs: file.store.collectEvery, graceMs: file.store.grace },
    capacity: { maxBytes: file.store.maxSize ?? Number.POSITIVE_INFINITY, minFree: file.store.minFree },
    scrub: { everyMs: file.store.scrubEvery, bytesPerSecond: file.store.scrubRate },
    replica: file.replica && { ca: undefined, owner: undefined, ...file.replica },
    limits: {
      manifest: limits.manifest,
      connections: limits.connections,
      connectionsPerClient: limits.connectionsPerClient,
      drainMs: limits.drain,
      partialMs: limits.partial,
      stalledMs: limits.stalled,
      slowest: limits.slowest,
      headersMs: limits.headers,
      pushMemory: limits.pushMemory,
      upload: limits.upload,
      uploadIdleMs: limits.uploadIdle,
      uploads: limits.uploads,
      memory: limits.memory,
      page: limits.page,
    },
    upstreams,
    local: file.local.map(entry => assembleLocal(entry, upstreams)),
    access: file.access && accessOptions(file.access),
    policies: {
      upstreams: policiesOf(file.upstreams.map(({ registry, policy }) => [registry, policy])),
      namespaces: policiesOf(file.local.map(entry => [nameOf(entry), entry.policy])),
    },
  }
}

function policiesOf(
  entries: readonly (readonly [string, PolicyEntry | undefined])[],
): Record<string, PolicyOptions> {
  return Object.fromEntries(entries.flatMap(([name, entry]) => (entry ? [[name, policyOptions(entry)]] : [])))
}

function nameOf({ match, name = defaultName(match) ?? match }: LocalEntry): string {
  return name
}

function listenAddresses({ listen, listeners }: ConfigFile): ListenAddress[] {
  if (listeners.length === 0) return listen.map(address => ({ ...address, role: 'registry', tls: undefined }))
  return listeners.map(({ address, role, tls }) => ({
    ...address,
    role,
    tls: tls && identityOf(tls),
  }))
}

function identityOf({ cert, key, clientCa: ca, clientCrl: crl, clientAuth }: ListenerTls): Identity {
  if (ca === undefined) return { cert, key }
  return { cert, key, clients: { ca, crl, isRequired: clientAuth !== 'optional' } }
}

function redisOptions({ index }: ConfigFile): RedisOptions | undefined {
  const { url: address, ca, cert, key, ...rest } = index
  return address && { address, ...rest, tls: tlsOf({ ca, cert, key }) }
}

/** The key that is not there is another one than `off`. */
function adminAddress({ admin }: ConfigFile): AdminAddress | undefined {
  if (!('listen' in admin)) return { host: '127.0.0.1', port: 8081, isDefault: true }
  return admin.listen && { ...admin.listen, isDefault: false }
}

function bucketOf({ accessKeyId, secretAccessKey, timeouts, ...entry }: S3Entry): S3Config {
  const { bucket, region, endpoint, prefix = '', pathStyle = endpoint !== undefined, ca } = entry
  return {
    bucket,
    region,
    endpoint,
    prefix,
    pathStyle,
    credentials:
      accessKeyId === undefined || secretAccessKey === undefined
        ? undefined
        : { accessKeyId, secretAccessKey },
    ca,
    timeouts: { connectMs: timeouts.connect, requestMs: timeouts.request, idleMs: timeouts.idle },
    connections: entry.connections,
    cached: entry.cached,
    patienceMs: timeouts.pull,
    ...linksOf(entry),
  }
}

function linksOf({ redirect }: Pick<S3Entry, 'redirect'>): Pick<S3Config, 'links' | 'linkedFrom'> {
  if (!redirect) return {}
  const { from, valid, endpoint } = redirect
  return { linkedFrom: from, links: { endpoint, validMs: valid } }
}

interface Context {
  /** Some upstream says that it is the default. */
  namesDefault: boolean
  resolvePath: (path: string) => string
}

function assembleUpstream(entry: UpstreamEntry, { namesDefault, resolvePath }: Context): UpstreamConfig {
  const isHub = entry.registry === hub
  return {
    options: upstreamOptions(entry, urlsOf(entry, resolvePath)),
    aliases: isHub ? [...new Set([...entry.aliases, ...hubAliases])] : entry.aliases,
    isDefault: entry.default ?? (isHub && !namesDefault),
    shareWithEveryone: entry.shareWithEveryone,
    policy: {
      tags: entry.tags.map(({ match, fresh }) => ({ match, freshMs: fresh })),
      listingsFreshMs: entry.listingsFresh,
      maxStaleMs: entry.maxStale,
      onNotFound: { serveForMs: entry.onNotFound.serveFor },
      rateLimited: entry.rateLimited,
      notFoundForMs: entry.notFoundFor,
      passthrough: { verdictMs: entry.passthrough.verdict, outageMs: entry.passthrough.outage },
    },
    keeping: { maxBytes: entry.maxSize ?? Number.POSITIVE_INFINITY, unusedMs: entry.unused, pins: entry.pin },
  }
}

function upstreamOptions(entry: UpstreamEntry, urls: UpstreamUrl[]): UpstreamOptions {
  const { timeouts, ca, cert, key } = entry
  return {
    registry: entry.registry,
    urls,
    access: entry.access ?? (urls.some(({ credentials }) => credentials) ? 'shared' : 'public'),
    allow: entry.allow,
    deny: entry.deny,
    authRealms: entry.authRealms,
    allowPrivate: entry.allowPrivate,
    timeouts: {
      connectMs: timeouts.connect,
      headersMs: timeouts.headers,
      revalidateMs: timeouts.revalidate,
      idleMs: timeouts.idle,
    },
    concurrency: entry.concurrency,
    http2: entry.http2,
    tls: tlsOf({ ca, cert, key }),
    proxy: entry.proxy,
  }
}

/** What is undefined is left out. */
function tlsOf({ ca, cert, key }: Readonly<Record<'ca' | 'cert' | 'key', string | undefined>>) {
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
}

function urlsOf(
  { registry, url, credentials, urls }: UpstreamEntry,
  resolvePath: Context['resolvePath'],
): UpstreamUrl[] {
  const fallback = registry === hub ? hubUrl : `https://${registry}`
  const written = urls ?? [{ url: url ?? fallback, credentials }]
  return written.map(each => ({
    url: each.url,
    credentials: each.credentials && sourcesOf(each.credentials, resolvePath),
  }))
}

function sourcesOf(
  written: readonly Credentials[],
  resolvePath: Context['resolvePath'],
): UpstreamUrl['credentials'] {
  const sources = written.map(each => sourceOf(each, resolvePath))
  return sources.length === 1 ? sources[0] : sources
}

function sourceOf(
  { username, password, token, file, docker, exec, ecr, gar, acr }: Credentials,
  resolvePath: Context['resolvePath'],
): CredentialSource {
  if (exec) {
    const { timeout, ...program } = exec
    return { kind: 'exec', ...program, timeoutMs: timeout }
  }
  if (ecr) return { kind: 'ecr', region: ecr.region, roleArn: ecr.roleArn }
  if (gar) return { kind: 'gar', file: gar.file === undefined ? undefined : resolvePath(gar.file) }
  if (acr) return { kind: 'acr', clientId: acr.clientId, tenant: acr.tenant }
  if (token !== undefined) return { kind: 'token', token }
  if (docker !== undefined) return { kind: 'docker', path: resolvePath(docker) }
  return {
    kind: 'basic',
    username: username ?? file?.username ?? '',
    password: password ?? file?.password ?? '',
  }
}

/** A namespace under a registry's alias is one under the registry. */
function assembleLocal(entry: LocalEntry, upstreams: readonly UpstreamConfig[]): LocalNamespace {
  const { match, overlay, immutableTags, missingReferences, quota, untagged, retention } = entry
  const [first = '', ...rest] = match.split('/')
  const known = upstreams.find(({ aliases }) => aliases.includes(first))
  return {
    name: nameOf(entry),
    match: known ? [known.options.registry, ...rest].join('/') : match,
    overlay,
    immutableTags,
    delete: entry.delete,
    missingReferences,
    ...(quota ? { quota } : {}),
    untaggedMs: untagged,
    retention: retention.map(({ match: tags, keep, enforce }) => ({
      match: tags,
      keep: { last: keep.last, newerThanMs: keep.newerThan, pulledWithinMs: keep.pulledWithin },
      enforce,
    })),
  }
}
