/** Cache-Status, Age and Warning. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cacheHeaders } from '../../../src/edge/cache-status.ts'
import { outcomes } from '../../../src/observe/metrics.ts'
import { anyText } from '../../support/any-text.ts'

describe('cache headers', () => {
  test.each([
    [{ outcome: 'hit' }, 'layover; hit'],
    [{ outcome: 'miss', stored: true }, 'layover; fwd=miss; stored'],
    [{ outcome: 'collapsed' }, 'layover; fwd=miss; collapsed'],
    [{ outcome: 'revalidated' }, 'layover; fwd=stale; fwd-status=304'],
    [{ outcome: 'bypass' }, 'layover; fwd=bypass'],
    [{ outcome: 'stale', detail: 'x' }, 'layover; fwd=stale; detail="x"'],
  ] as const)('%o', (provenance, expected) => {
    expect(cacheHeaders(provenance)['cache-status']).toBe(expected)
  })

  test('what is served stale says so, with a reason and its age', () => {
    expect(cacheHeaders({ outcome: 'stale', detail: 'docker.io: 500', ageMs: 61_999 })).toEqual({
      'cache-status': 'layover; fwd=stale; detail="docker.io: 500"',
      age: '61',
      warning: '299 - "served from cache: docker.io: 500"',
    })
  })

  test('only what is stale warns', () => {
    for (const outcome of outcomes) expect('warning' in cacheHeaders({ outcome })).toBe(outcome === 'stale')
  })

  test('a clock that went back makes no negative age', () => {
    expect(cacheHeaders({ outcome: 'hit', ageMs: -5_000 }).age).toBe('0')
  })

  test('quotes, backslashes, line breaks and letters of other alphabets cannot leave the quotes', () => {
    const { warning, 'cache-status': status } = cacheHeaders({
      outcome: 'stale',
      detail: 'a"b\\c\r\nX: y\u00e9\u{1F600}',
    })
    expect(status).toBe('layover; fwd=stale; detail="a\\"b\\\\c??X: y???"')
    expect(warning).toContain('a\\"b\\\\c??X')
  })

  test('whatever the detail, every header is one short line that a client can take apart', () => {
    fc.assert(
      fc.property(anyText({ maxLength: 700 }), detail => {
        const { warning = '', 'cache-status': status = '' } = cacheHeaders({ outcome: 'stale', detail })
        expect(status).toMatch(/^layover; fwd=stale; detail="(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"$/)
        expect(warning).toMatch(/^299 - "(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"$/)
        expect(warning.length).toBeLessThan(4_096)
      }),
    )
  })
})
