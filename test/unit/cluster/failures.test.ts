/** Failures of upstreams survive the way to another replica. */
import { expect, test } from 'vitest'
import { failureIn, tell } from '../../../src/cluster/failures.ts'
import { UpstreamError } from '../../../src/upstream/upstream-error.ts'

test.each([
  new UpstreamError('docker.io', 'not-found', 'no such thing', { what: 'BLOB_UNKNOWN', upstreamStatus: 404 }),
  new UpstreamError('docker.io', 'rate-limited', 'too many', { upstreamStatus: 429, retryAfterMs: 60_000 }),
  new UpstreamError('ghcr.io', 'timeout', 'too late'),
])('$failure', failure => {
  const told = failureIn(JSON.stringify(tell(failure)))
  const { code, status, message, details, retryAfterMs, absent, personal } = failure
  expect(told).toMatchObject({ code, status, message, details, retryAfterMs, absent, personal })
})

test.each(['', 'null', '[]', '{}', '{"failure":"toString","code":"DENIED"}'])('%s tells of none', text => {
  expect(failureIn(text)).toBeUndefined()
})
