/** The grammar of scopes, with what clients make of it. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatScopes, parseScopes } from '../../../../src/access/tokens/scope.ts'

const canonical = (...texts: string[]) => formatScopes(parseScopes(texts))

describe('scopes', () => {
  test('are one for each name, sorted, with their actions in order', () => {
    expect(parseScopes(['repository:team/b:push repository:team/a:pull', 'repository:team/b:pull'])).toEqual([
      { type: 'repository', name: 'team/a', actions: ['pull'] },
      { type: 'repository', name: 'team/b', actions: ['pull', 'push'] },
    ])
  })

  test('`*` is all that can be done to a repository', () => {
    expect(canonical('repository:app:*')).toBe('repository:app:pull,push,delete')
    expect(canonical('repository:app:pull repository:app:*')).toBe('repository:app:pull,push,delete')
  })

  test('a name may begin with a host and its port', () => {
    expect(canonical('repository:ghcr.io:443/org/app:pull')).toBe('repository:ghcr.io:443/org/app:pull')
    expect(canonical('repository:[fd00::1]:5000/app:pull')).toBe('repository:[fd00::1]:5000/app:pull')
  })

  test('the catalog is the only thing of the registry', () => {
    expect(canonical('registry:catalog:*')).toBe('registry:catalog:*')
    expect(canonical('registry:catalog:pull registry:users:*')).toBe('')
  })

  test.each([
    ['a class of repositories that we have not', 'repository(plugin):app:pull'],
    ['another type', 'artifact:app:pull'],
    ['no actions', 'repository:app'],
    ['actions of nothing', 'repository::pull'],
    ['no action that we know', 'repository:app:admin,'],
    ['a name that no repository has', 'repository:a"b:pull'],
    ['nothing', ''],
    ['spaces', '   '],
    ['colons', ':::'],
  ])('%s is left out', (_, text) => {
    expect(canonical(text, 'repository:app:pull')).toBe('repository:app:pull')
  })

  test('what is beyond 100 scopes or 4 KiB is left out, and nothing is cut short', () => {
    const many = Array.from({ length: 150 }, (_, nth) => `repository:r${nth}:pull`)
    expect(parseScopes(many)).toHaveLength(100)
    const long = (letter: string) => `repository:${letter.repeat(2000)}:pull`
    expect(canonical(`${long('a')} ${long('b')} ${long('c')}`)).toBe(`${long('a')} ${long('b')}`)
    expect(canonical('x'.repeat(5000), 'repository:app:pull')).toBe('')
    const exactly = `repository:${'a'.repeat(4096 - 'repository::pull'.length)}:pull`
    expect(canonical(exactly)).toBe(exactly)
    expect(canonical(exactly.replace('aaa', 'aaaa'))).toBe('')
  })

  test('nothing makes them fail, grow or change when they are read again', () => {
    const piece = fc.constantFrom(
      'repository',
      'registry',
      'catalog',
      'app',
      ':',
      ',',
      ' ',
      '*',
      'pull',
      'push',
      '/',
    )
    const text = fc.oneof(
      fc.string(),
      fc.array(piece, { maxLength: 40 }).map(pieces => pieces.join('')),
    )
    fc.assert(
      fc.property(fc.array(text), texts => {
        const scopes = parseScopes(texts)
        const formatted = formatScopes(scopes)
        expect(scopes.length).toBeLessThanOrEqual(100)
        expect(parseScopes([formatted])).toEqual(scopes)
        expect(parseScopes(texts.toReversed().flatMap(each => each.split(' ').toReversed()))).toEqual(scopes)
      }),
    )
  })
})
