/** Answers counted in batches. */
import { expect, test } from 'vitest'
import { createMetrics } from '../../../src/observe/metrics.ts'

const how = { upstream: 'docker.io', kind: 'blob', outcome: 'hit' } as const

test('who reads the metrics finds all that was tallied, however little or much', async () => {
  const { registry, tally, requests } = createMetrics()
  requests.inc({ ...how, status: '200' })
  for (let nth = 0; nth < 3000; nth += 1) tally(how).count(0.002, 10)
  for (const read of [1, 2]) {
    const text = await registry.metrics()
    for (const line of [
      'layover_requests_total{upstream="docker.io",kind="blob",outcome="hit",status="200"} 3001',
      'layover_request_duration_seconds_bucket{le="0.001",upstream="docker.io",kind="blob",outcome="hit"} 0',
      'layover_request_duration_seconds_bucket{le="0.005",upstream="docker.io",kind="blob",outcome="hit"} 3000',
      'layover_response_bytes_total{upstream="docker.io",kind="blob",outcome="hit"} 30000',
    ])
      expect(text, `read ${read}`).toContain(line)
  }
})

test('an answer of another kind has a tally of its own', async () => {
  const { registry, tally } = createMetrics()
  tally(how).count(1, 1)
  tally({ ...how, kind: 'manifest' }).count(1, 1)
  expect(tally({ ...how })).toBe(tally(how))
  const text = await registry.metrics()
  expect(text.match(/layover_requests_total{.*} 1$/gm)).toHaveLength(2)
})
