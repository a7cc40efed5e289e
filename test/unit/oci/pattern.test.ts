import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { matchesPattern } from '../../../src/oci/pattern.ts'

describe('matchesPattern', () => {
  test.each([
    ['library/alpine', 'library/alpine', true],
    ['library/alpine', 'library/alpines', false],
    ['library/*', 'library/alpine', true],
    ['library/*', 'library/a/b', false],
    ['library/**', 'library/a/b', true],
    ['library/**', 'library', false],
    ['**', 'a/b/c', true],
    ['*', 'a/b', false],
    ['*', '', true],
    ['**/secret', 'secret', true],
    ['**/secret', 'a/b/secret', true],
    ['**/secret', 'topsecret', false],
    ['a/**/z', 'a/z', true],
    ['a/**/z', 'a/b/c/z', true],
    ['a**/z', 'ab/c/z', true],
    ['a**/z', 'az', false],
    ['*-dev', 'app-dev', true],
    ['v1.*', 'v1x2', false],
    ['docker.io/team/**', 'docker.io/team/app', true],
    ['', '', true],
    ['', 'a', false],
    ['***', 'a/b', true],
  ])('%s against %s: %s', (pattern, name, expected) => {
    expect(matchesPattern(pattern, name)).toBe(expected)
  })

  test('a pattern of many stars is not slow', () => {
    expect(matchesPattern(`${'*a'.repeat(100)}b`, 'a'.repeat(255))).toBe(false)
    expect(matchesPattern(`${'**a'.repeat(100)}b`, 'a/'.repeat(127))).toBe(false)
  })

  test('agrees with a regular expression for stars within names', () => {
    const text = fc.stringMatching(/^[ab/]{0,8}$/)
    fc.assert(
      fc.property(fc.stringMatching(/^[ab/*]{0,6}$/), text, (pattern, name) => {
        fc.pre(!pattern.includes('**'))
        const regex = new RegExp(`^${pattern.replaceAll('*', '[^/]*')}$`)
        expect(matchesPattern(pattern, name)).toBe(regex.test(name))
      }),
    )
  })
})
