/** Repository names and tags by the specification's grammar. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isRepositoryName, isTag, parseRepositoryName } from '../../../src/oci/name.ts'

describe('repository name', () => {
  test.each([
    'alpine',
    'library/alpine',
    'a',
    '0',
    'a.b_c-d',
    'a__b',
    'a--b',
    'a-----b',
    'a/b/c/d/e/f',
    'manifests',
    'blobs/uploads',
    'a'.repeat(255),
  ])('%s is one', name => {
    expect(parseRepositoryName(name)).toBe(name)
  })

  test.each([
    '',
    '/',
    '/a',
    'a/',
    'a//b',
    'Alpine',
    'a/B',
    'a___b',
    'a..b',
    'a._b',
    'a.-b',
    'a_.b',
    '_a',
    '-a',
    '.a',
    'a_',
    'a-',
    'a.',
    '.',
    '..',
    'a/../b',
    'a/./b',
    '../a',
    'a b',
    'a\n',
    'a\0b',
    'a:b',
    'a@b',
    'a%2fb',
    'ä',
    'a\\b',
    'a'.repeat(256),
  ])('%j is refused with NAME_INVALID', name => {
    expect(isRepositoryName(name)).toBe(false)
    expect(() => parseRepositoryName(name)).toThrow(
      expect.objectContaining({ code: 'NAME_INVALID', status: 400 }),
    )
  })

  test('no component of a name can climb out of a folder or hide in it', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '.', '_', '-', '/', 'Z', '\0') }), text => {
        if (!isRepositoryName(text)) return
        for (const component of text.split('/')) expect(component).toMatch(/^[a-z0-9].*[a-z0-9]$|^[a-z0-9]$/)
      }),
    )
  })
})

describe('tag', () => {
  test.each(['latest', '1.2.3', '_', 'A', '0', 'a.b-c_d', 'a'.repeat(128)])('%s is one', text => {
    expect(isTag(text)).toBe(true)
  })

  test.each([
    '',
    '.',
    '..',
    '.a',
    '-a',
    'a/b',
    'a:b',
    'a b',
    'a+b',
    'a\n',
    'ä',
    'a'.repeat(129),
  ])('%j is none', text => {
    expect(isTag(text)).toBe(false)
  })
})
