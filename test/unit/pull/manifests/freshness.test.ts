/** When a tag is asked again, and when it is served all the same. */
import { describe, expect, test } from 'vitest'
import type { TagEntry } from '../../../../src/index/index.ts'
import { digestOf } from '../../../../src/oci/digest.ts'
import type { Tag } from '../../../../src/oci/name.ts'
import { freshMs, isFresh, judge, type Verdict } from '../../../../src/pull/manifests/freshness.ts'
import type { CachePolicy } from '../../../../src/pull/target.ts'
import { UpstreamError, type UpstreamFailure } from '../../../../src/upstream/upstream-error.ts'
import { FakeUpstream, minute, targetOf } from '../fake-upstream.ts'

const now = Date.UTC(2026, 0, 1)
const hour = 60 * minute

const policyOf = (policy: Partial<CachePolicy>) => targetOf(new FakeUpstream(), { policy }).policy
const entryOf = (entry: Partial<TagEntry>): TagEntry => ({
  digest: digestOf(Buffer.alloc(0)),
  mediaType: 'x',
  size: 0,
  movedAt: 0,
  checkedAt: now,
  missingSince: undefined,
  ...entry,
})

describe('freshness of a tag', () => {
  const policy = policyOf({
    tags: [
      { match: 'v*', freshMs: Number.POSITIVE_INFINITY },
      { match: 'v1', freshMs: 1 },
      { match: 'nightly-*', freshMs: 0 },
      { match: '*', freshMs: 5 * minute },
    ],
  })

  test.each([
    ['v1', Number.POSITIVE_INFINITY],
    ['nightly-7', 0],
    ['latest', 5 * minute],
  ])('%s takes the first pattern that matches: %i', (tag, expected) => {
    expect(freshMs(policy, tag as Tag)).toBe(expected)
  })

  test('without a pattern it is asked each time', () => {
    expect(freshMs(policyOf({ tags: [] }), 'latest' as Tag)).toBe(0)
  })

  test.each([
    ['just checked', 'latest', {}, true],
    ['checked a moment too long ago', 'latest', { checkedAt: now - 5 * minute }, false],
    ['checked just in time', 'latest', { checkedAt: now - 5 * minute + 1 }, true],
    ['never asked again', 'v1', { checkedAt: 0 }, true],
    ['asked each time', 'nightly-1', {}, false],
    ['that upstream no longer has', 'v1', { missingSince: now - 1 }, false],
  ])('one %s', (_, tag, entry, fresh) => {
    expect(isFresh(entryOf(entry), policy, tag as Tag, now)).toBe(fresh)
  })
})

describe('a failed check', () => {
  const policy = policyOf({ maxStaleMs: 10 * hour, onNotFound: { serveForMs: hour } })
  const fails = (failure: UpstreamFailure) => new UpstreamError('registry.test', failure, failure)

  test.each([
    'denied',
    'credential-refused',
    'rate-limited',
    'unreachable',
    'server-error',
    'timeout',
    'corrupt',
    'too-large',
    'resting',
    'loop',
  ] as const)('%s serves the tag until it is too old', failure => {
    const verdict = (checkedAt: number) => judge(entryOf({ checkedAt }), fails(failure), policy, now)
    expect(verdict(now - 10 * hour)).toBe('serve')
    expect(verdict(now - 10 * hour - 1)).toBe('refuse')
  })

  test.each<['not-found' | 'hidden', Partial<TagEntry>, Verdict]>([
    ['not-found', {}, 'serve'],
    ['hidden', {}, 'serve'],
    ['not-found', { missingSince: now - hour + 1 }, 'serve'],
    ['not-found', { missingSince: now - hour }, 'drop'],
    ['hidden', { missingSince: now - hour }, 'drop'],
    ['not-found', { checkedAt: 0, missingSince: now - 1 }, 'serve'],
  ])('%s of a tag %o: %s', (failure, entry, verdict) => {
    expect(judge(entryOf(entry), fails(failure), policy, now)).toBe(verdict)
  })

  test('not-found drops at once where the policy says so', () => {
    const strict = policyOf({ onNotFound: { serveForMs: 0 } })
    expect(judge(entryOf({}), fails('not-found'), strict, now)).toBe('drop')
  })

  test.each([fails('not-allowed'), new Error('a fault of ours'), undefined])('%s serves nothing', failure => {
    expect(judge(entryOf({}), failure, policy, now)).toBe('refuse')
  })
})
