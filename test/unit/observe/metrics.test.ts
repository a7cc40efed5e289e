/** Metrics: their names and labels are contracts. */
import { expect, test } from 'vitest'
import { createMetrics, outcomes } from '../../../src/observe/metrics.ts'

test('every instrument of a pull is there under its name, with its labels', async () => {
  const metrics = createMetrics()
  const how = { upstream: 'docker.io', kind: 'blob', outcome: 'hit' } as const
  metrics.requests.inc({ ...how, status: '200' })
  metrics.requestSeconds.observe(how, 0.2)
  metrics.responseBytes.inc(how, 5)
  metrics.upstreamRequests.inc({ upstream: 'docker.io', kind: 'blob', status: '200' })
  metrics.upstreamBytes.inc({ upstream: 'docker.io' }, 7)
  metrics.upstreamSeconds.observe({ upstream: 'docker.io', kind: 'blob' }, 0.2)
  metrics.upstreamErrors.inc({ upstream: 'docker.io', reason: 'timeout' })
  metrics.ratelimitLimit.set({ upstream: 'docker.io', identity: 'anonymous' }, 100)
  metrics.flights.inc({ upstream: 'docker.io' })
  metrics.storeBytes.inc({ area: 'cached' }, 5)
  const text = await metrics.registry.metrics()
  for (const line of [
    'layover_requests_total{upstream="docker.io",kind="blob",outcome="hit",status="200"} 1',
    'layover_request_duration_seconds_count{upstream="docker.io",kind="blob",outcome="hit"} 1',
    'layover_response_bytes_total{upstream="docker.io",kind="blob",outcome="hit"} 5',
    'layover_upstream_requests_total{upstream="docker.io",kind="blob",status="200"} 1',
    'layover_upstream_bytes_total{upstream="docker.io"} 7',
    'layover_upstream_duration_seconds_count{upstream="docker.io",kind="blob"} 1',
    'layover_upstream_errors_total{upstream="docker.io",reason="timeout"} 1',
    'layover_upstream_ratelimit_limit{upstream="docker.io",identity="anonymous"} 100',
    'layover_flights{upstream="docker.io"} 1',
    'layover_flight_waiters 0',
    'layover_store_bytes{area="cached"} 5',
  ]) {
    expect(text).toContain(line)
  }
})

test('two sets of instruments do not know of each other', async () => {
  const [one, other] = [createMetrics(), createMetrics()]
  one.flightWaiters.inc()
  expect(await other.registry.metrics()).toContain('layover_flight_waiters 0')
})

test('the outcomes are those of the contract', () => {
  expect(outcomes).toEqual(['hit', 'miss', 'stale', 'revalidated', 'collapsed', 'bypass', 'error'])
})
