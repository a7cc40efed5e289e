/** The metrics: names and labels are contracts. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from '@prometheus-io/client'
import { Tallies, type Tally } from './tally.ts'

export type Kind = 'manifest' | 'blob' | 'tags' | 'referrers'
/** What a client changes. */
export type Write = 'upload' | 'manifest' | 'delete'
export const outcomes = ['hit', 'miss', 'stale', 'revalidated', 'collapsed', 'bypass', 'error'] as const
export type Outcome = (typeof outcomes)[number]

const seconds = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800]

/**
 * Makes instruments of one registry.
 *
 * @param collect called before one of them is read
 */
function instruments(registry: Registry, collect = () => {}) {
  const registers = [registry]
  return {
    counter: <T extends string>(name: string, help: string, ...labelNames: T[]) =>
      new Counter<T>({ name, help, labelNames, registers, collect }),
    gauge: <T extends string>(name: string, help: string, ...labelNames: T[]) =>
      new Gauge<T>({ name, help, labelNames, registers, collect }),
    histogram: <T extends string>(name: string, help: string, ...labelNames: T[]) =>
      new Histogram<T>({ name, help, labelNames, buckets: seconds, registers, collect }),
  }
}

type Instruments = ReturnType<typeof instruments>

export type Metrics = ReturnType<typeof createMetrics>

/** One set of instruments a process; tests make their own. */
export function createMetrics({ defaults = false } = {}) {
  const registry = new Registry()
  if (defaults) collectDefaultMetrics({ register: registry })
  const make = instruments(registry)
  return { registry, ...requestMetrics(registry), ...upstreamMetrics(make), ...storeMetrics(make) }
}

/** How a request was answered. */
export interface How {
  readonly upstream: string
  readonly kind: Kind
  readonly outcome: Outcome
}

function requestMetrics(registry: Registry) {
  const tallies = new Tallies()
  const { counter, histogram } = instruments(registry, () => tallies.flush())
  const names = ['upstream', 'kind', 'outcome'] as const
  const requests = counter(
    'layover_requests_total',
    'Requests under /v2/ by how they were answered',
    ...names,
    'status',
  )
  const requestSeconds = histogram(
    'layover_request_duration_seconds',
    'Time until the last byte of an answer',
    ...names,
  )
  const responseBytes = counter('layover_response_bytes_total', 'Body bytes sent to clients', ...names)
  const writes = counter('layover_writes_total', 'Requests that push or delete', 'operation', 'status')
  const auth = counter('layover_auth_total', 'Logins that were found out, and denials', 'method', 'result')
  /** Counts answers of status 200. */
  const tally = ({ upstream, kind, outcome }: How): Tally =>
    tallies.of(`${upstream} ${kind} ${outcome}`, (seconds, bytes) => {
      const how = { upstream, kind, outcome }
      requests.inc({ ...how, status: '200' }, seconds.length)
      responseBytes.inc(how, bytes)
      for (const second of seconds) requestSeconds.observe(how, second)
    })
  return { requests, requestSeconds, responseBytes, writes, auth, tally }
}

function upstreamMetrics({ counter, gauge, histogram }: Instruments) {
  const limits = 'layover_upstream_ratelimit'
  const who = ['upstream', 'identity'] as const
  return {
    upstreamRequests: counter(
      'layover_upstream_requests_total',
      'Requests sent to upstreams, redirects and tokens included',
      'upstream',
      'kind',
      'status',
    ),
    upstreamBytes: counter('layover_upstream_bytes_total', 'Body bytes received from upstreams', 'upstream'),
    peerBytes: counter('layover_peer_bytes_total', 'Body bytes received from other replicas'),
    upstreamSeconds: histogram(
      'layover_upstream_duration_seconds',
      "Time until upstream's headers",
      'upstream',
      'kind',
    ),
    upstreamErrors: counter(
      'layover_upstream_errors_total',
      'Failed exchanges with upstreams',
      'upstream',
      'reason',
    ),
    ratelimitLimit: gauge(`${limits}_limit`, 'Pulls that upstream allows in its window', ...who),
    ratelimitRemaining: gauge(`${limits}_remaining`, 'Pulls left in the window of upstream', ...who),
    ratelimitBlocked: gauge(
      `${limits}_blocked_seconds`,
      'Time until manifests are asked again after a 429',
      ...who,
    ),
  }
}

function storeMetrics({ gauge, counter }: Instruments) {
  return {
    collections: counter('layover_collections_total', 'Garbage collections that ended', 'result'),
    collectedBytes: counter('layover_collected_bytes_total', 'Bytes of pushed content that were collected'),
    scrubs: counter('layover_scrubs_total', 'Scrubs of the store that ended', 'result'),
    scrubbedBytes: counter('layover_scrubbed_bytes_total', 'Bytes whose digest was checked', 'area'),
    damaged: counter('layover_damaged_total', 'Files found damaged', 'area'),
    flights: gauge('layover_flights', 'Blobs being fetched', 'upstream'),
    flightWaiters: gauge('layover_flight_waiters', 'Readers of blobs being fetched'),
    uploads: gauge('layover_uploads', 'Upload sessions open'),
    quotaBytes: gauge('layover_quota_bytes', 'Bytes that a local namespace may hold', 'namespace'),
    quotaBytesUsed: gauge(
      'layover_quota_used_bytes',
      'Bytes that a local namespace with a quota holds, uploads under way included',
      'namespace',
    ),
    quotaTags: gauge('layover_quota_tags', 'Tags that a local namespace may hold', 'namespace'),
    quotaTagsUsed: gauge('layover_quota_used_tags', 'Tags of a local namespace with a quota', 'namespace'),
    evictions: counter('layover_evictions_total', 'Cached blobs that were evicted', 'upstream', 'reason'),
    evictedBytes: counter(
      'layover_evicted_bytes_total',
      'Cached bytes that were evicted',
      'upstream',
      'reason',
    ),
    storeBytes: gauge('layover_store_bytes', 'Bytes cached, and bytes pushed since the start', 'area'),
    storeObjects: gauge('layover_store_objects', 'Blobs cached, and blobs pushed since the start', 'area'),
    indexUp: gauge('layover_index_up', 'Whether the index answers'),
    bucketUp: gauge(
      'layover_bucket_up',
      'Whether the bucket beneath the store does what it is asked to',
      'bucket',
    ),
  }
}
