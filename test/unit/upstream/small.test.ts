import { expect, test } from 'vitest'
import { createMetrics } from '../../../src/observe/metrics.ts'
import { parseRepositoryName } from '../../../src/oci/name.ts'
import { usableMs } from '../../../src/upstream/auth/token-life.ts'
import { assertAllowed } from '../../../src/upstream/names.ts'
import { nextPage } from '../../../src/upstream/objects/link.ts'
import { Bandwidth } from '../../../src/upstream/transport/bandwidth.ts'
import { RateLimits } from '../../../src/upstream/transport/rate-limit.ts'
import { retryAfterMs } from '../../../src/upstream/transport/retry-after.ts'
import { HeldClock } from './support.ts'

const clock = new HeldClock()

test.each([
  ['30', '', 30_000],
  ['0', '', 1_000],
  ['86400', '', 300_000],
  ['soon', '', 60_000],
  [undefined, 'toomanyrequests: retry-after: 1.16676ms, allowed: 44000/minute', 1_000],
  [undefined, 'retry-after: 90s', 90_000],
  [undefined, '', 60_000],
])('Retry-After %s with the body %j means %i ms', (header, body, expected) => {
  expect(retryAfterMs(header, body, clock)).toBe(expected)
})

test('a date in Retry-After is measured from now', () => {
  const date = new Date(clock.now() + 42_000)
  const ms = retryAfterMs(date.toUTCString(), '', clock)
  expect(ms).toBeGreaterThan(40_000)
  expect(ms).toBeLessThanOrEqual(42_000)
})

const part = (claims: object) => Buffer.from(JSON.stringify(claims)).toString('base64url')
const now = 1_750_000_000_000

test.each([
  ['expires_in', 'opaque', 300, 240_000],
  ['expires_in as text', 'opaque', '300', 240_000],
  ['nothing', 'opaque', undefined, 30_000],
  ['a second', 'opaque', 1, 30_000],
  ['a negative number', 'opaque', -5, 30_000],
  ['exp of a JWT', `h.${part({ exp: now / 1000 + 3600 })}.s`, undefined, 2_880_000],
  [
    'exp and iat of a clock that is hours off',
    `h.${part({ iat: 5_000, exp: 8_600 })}.s`,
    undefined,
    2_880_000,
  ],
  ["ECR Public's expiration", part({ expiration: now / 1000 + 3600 }), undefined, 2_880_000],
])('a token whose life is told by %s is used for a part of it', (_how, token, expiresIn, expected) => {
  expect(usableMs(token, expiresIn, now)).toBe(expected)
})

test('the next page is the one with rel="next", relative or absolute', () => {
  const page = new URL('https://registry.test/v2/a/tags/list')
  expect(nextPage('</v2/a/tags/list?n=2&last=b>; rel="next"', page)?.search).toBe('?n=2&last=b')
  expect(
    nextPage('<https://x.test/>; rel="prev", <https://registry.test/p2>; rel=next', page)?.pathname,
  ).toBe('/p2')
  expect(nextPage('<https://x.test/>; rel="last"', page)).toBeUndefined()
  expect(nextPage(undefined, page)).toBeUndefined()
})

test('deny wins over allow, and no allow pattern allows every name', () => {
  const name = parseRepositoryName('team/app')
  const upstream = { registry: 'hub.test', allow: [], deny: [] }
  expect(() => assertAllowed(upstream, name)).not.toThrow()
  expect(() => assertAllowed({ ...upstream, allow: ['library/**'] }, name)).toThrow(
    /not among the names allowed/,
  )
  expect(() => assertAllowed({ ...upstream, allow: ['**'], deny: ['team/*'] }, name)).toThrow(/denied/)
})

test('bytes over the bandwidth wait for their time', async () => {
  const clock = new HeldClock()
  const bandwidth = new Bandwidth(1_000, clock)
  await bandwidth.take(50) // what may pass at once
  let passed = false
  const waiting = bandwidth.take(1_000).then(() => {
    passed = true
  })
  clock.advance(999)
  await Promise.resolve()
  expect(passed).toBe(false)
  clock.advance(1)
  await waiting
})

test('the pause after a 429 is for one identity, and a HEAD with budget left ends it', () => {
  const clock = new HeldClock()
  const limits = new RateLimits(
    { upstream: 'hub.test', origin: 'https://hub.test' },
    { clock, metrics: createMetrics() },
  )
  const anonymous = limits.of('anonymous')
  anonymous.pause(60_000, 'manifests')
  expect(anonymous.pausedMs(true)).toBe(60_000)
  expect(anonymous.pausedMs(false)).toBe(0)
  expect(limits.of('robot').pausedMs(true)).toBe(0)
  anonymous.observe('100;w=21600', '0;w=21600', 'HEAD')
  anonymous.observe('100;w=21600', '7;w=21600', 'GET')
  expect(anonymous.pausedMs(true)).toBe(60_000)
  anonymous.observe('100;w=21600', '7;w=21600', 'HEAD')
  expect(anonymous.pausedMs(true)).toBe(0)
  anonymous.pause(60_000, 'everything')
  anonymous.observe('100;w=21600', '7;w=21600', 'HEAD')
  expect(anonymous.pausedMs(false)).toBe(60_000)
})
