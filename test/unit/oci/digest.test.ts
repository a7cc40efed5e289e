/** Digests: which texts are ones, and that content and digest belong together. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  algorithmOf,
  dashed,
  digestFrom,
  digestOf,
  hashFor,
  hexOf,
  isDigest,
  isForeignDigest,
  looksLikeDigest,
  parseDigest,
} from '../../../src/oci/digest.ts'

const sha256 = `sha256:${'0a'.repeat(32)}`
const sha512 = `sha512:${'0a'.repeat(64)}`

describe('digest', () => {
  test.each([sha256, sha512])('%s is one', text => {
    expect(parseDigest(text)).toBe(text)
  })

  test.each([
    ['upper-case hex', `sha256:${'0A'.repeat(32)}`],
    ['an upper-case algorithm', `SHA256:${'0a'.repeat(32)}`],
    ['a digit too few', sha256.slice(0, -1)],
    ['a digit too many', `${sha256}0`],
    ['the length of another algorithm', `sha512:${'0a'.repeat(32)}`],
    ['an algorithm that is not hashed here', `blake3:${'0a'.repeat(32)}`],
    ['a combined algorithm', `sha256+b64:${'0a'.repeat(32)}`],
    ['no hex digits', `sha256:${'zz'.repeat(32)}`],
    ['nothing after the colon', 'sha256:'],
    ['nothing before the colon', `:${'0a'.repeat(32)}`],
    ['a line break at its end', `${sha256}\n`],
    ['a space in front', ` ${sha256}`],
    ['a path in it', `sha256:../../${'0a'.repeat(29)}`],
    ['an escaped colon', sha256.replace(':', '%3A')],
    ['a dash for the colon', sha256.replace(':', '-')],
    ['nothing at all', ''],
    ['a megabyte', `sha256:${'a'.repeat(1024 * 1024)}`],
  ])('one with %s is refused with DIGEST_INVALID', (_, text) => {
    expect(isDigest(text)).toBe(false)
    expect(() => parseDigest(text)).toThrow(expect.objectContaining({ code: 'DIGEST_INVALID', status: 400 }))
  })

  test('a refusal does not repeat what was sent', () => {
    expect(() => parseDigest('sha256:<script>')).toThrow(expect.not.stringContaining('script'))
  })

  test('a colon makes a digest of a reference, whatever its algorithm', () => {
    expect(looksLikeDigest('blake3:abc')).toBe(true)
    expect(looksLikeDigest('latest')).toBe(false)
  })

  test('one of an algorithm that is not hashed here is told from a malformed one', () => {
    for (const text of [`blake3:${'0a'.repeat(32)}`, 'sha256+b64:abc=', 'md5:x'])
      expect([text, isForeignDigest(text)]).toEqual([text, true])
    for (const text of [
      sha256,
      sha512,
      'sha256:bad',
      'blake3:',
      'Blake3:abc',
      'blake3:a b',
      `x:${'a'.repeat(9_999)}`,
    ])
      expect([text, isForeignDigest(text)]).toEqual([text, false])
  })

  test('algorithm, hex and file name are read off', () => {
    const digest = parseDigest(sha512)
    expect(algorithmOf(digest)).toBe('sha512')
    expect(hexOf(digest)).toBe('0a'.repeat(64))
    expect(dashed(digest)).toBe(`sha512-${'0a'.repeat(64)}`)
  })

  test('content hashed in any pieces has the digest of the whole', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array()),
        fc.constantFrom('sha256' as const, 'sha512' as const),
        (pieces, algorithm) => {
          const digest = digestOf(Buffer.concat(pieces), algorithm)
          const hash = hashFor(digest)
          for (const piece of pieces) hash.update(piece)
          expect(digestFrom(algorithm, hash)).toBe(digest)
          expect(isDigest(digest)).toBe(true)
        },
      ),
    )
  })
})
