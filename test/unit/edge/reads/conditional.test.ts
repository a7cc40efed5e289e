/** Conditional requests. */
import { describe, expect, test } from 'vitest'
import { entityTag, notModified, rangeApplies } from '../../../../src/edge/reads/conditional.ts'
import { digestOf } from '../../../../src/oci/digest.ts'

const digest = digestOf(Buffer.from('content'))
const other = digestOf(Buffer.from('other'))

describe('If-None-Match', () => {
  test.each([
    `"${digest}"`,
    digest,
    `W/"${digest}"`,
    `"${other}", "${digest}"`,
    `"${other}",W/"${digest}"`,
    '*',
    ` "${digest}" `,
  ])('%s means this content', header => {
    expect(notModified(header, digest)).toBe(true)
  })

  test.each([
    undefined,
    '',
    `"${other}"`,
    digest.slice(7),
    `"${digest}x"`,
    'sha256:',
    '"',
    ',,',
  ])('%j does not', header => {
    expect(notModified(header, digest)).toBe(false)
  })
})

describe('If-Range', () => {
  test('without it a range counts, with it only for this very content', () => {
    expect(rangeApplies(undefined, digest)).toBe(true)
    expect(rangeApplies(entityTag(digest), digest)).toBe(true)
  })

  test.each([
    `W/"${digest}"`,
    `"${other}"`,
    digest,
    'Sat, 21 Nov 2026 10:00:00 GMT',
    '',
    '*',
  ])('%j makes the range be ignored', header => {
    expect(rangeApplies(header, digest)).toBe(false)
  })
})
