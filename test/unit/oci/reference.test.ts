/** What a manifest may be asked by. */
import { describe, expect, test } from 'vitest'
import { parseReference, referenceText } from '../../../src/oci/reference.ts'

const digest = `sha256:${'ab'.repeat(32)}`

describe('reference', () => {
  test.each(['latest', 'v1.0', 'sha256-abc', 'a'.repeat(128)])('%s is a tag', text => {
    const reference = parseReference(text)
    expect(reference.kind).toBe('tag')
    expect(referenceText(reference)).toBe(text)
  })

  test('a digest is a digest', () => {
    const reference = parseReference(digest)
    expect(reference.kind).toBe('digest')
    expect(referenceText(reference)).toBe(digest)
  })

  test.each([
    'sha256:bad',
    'sha256:',
    digest.toUpperCase(),
    `latest@${digest}`,
  ])('%s is a bad digest', text => {
    expect(() => parseReference(text)).toThrow(
      expect.objectContaining({ code: 'DIGEST_INVALID', status: 400 }),
    )
  })

  test.each([
    '',
    '.hidden',
    '-dash',
    'a b',
    'ä',
    'a'.repeat(129),
    `a:${'b'.repeat(600)}`,
  ])('%j can name no manifest', text => {
    expect(() => parseReference(text)).toThrow(
      expect.objectContaining({ code: 'MANIFEST_UNKNOWN', status: 404 }),
    )
  })
})
