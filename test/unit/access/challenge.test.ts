/** Challenges, as clients take them apart. */
import { describe, expect, test } from 'vitest'
import { challenge } from '../../../src/access/challenge.ts'
import { parseScopes } from '../../../src/access/tokens/scope.ts'

const at = { realm: 'https://registry.corp.example/token', service: 'registry.corp.example' }

describe('a challenge', () => {
  test('of the ping names no scope', () => {
    expect(challenge({ ...at, mode: 'bearer' })).toBe(
      'Bearer realm="https://registry.corp.example/token",service="registry.corp.example"',
    )
  })

  test('names all scopes in one parameter, and what is wrong with the token', () => {
    const scope = parseScopes(['repository:team/b:pull,push', 'repository:team/a:pull'])
    expect(challenge({ ...at, mode: 'bearer', scope, error: 'insufficient_scope' })).toBe(
      'Bearer realm="https://registry.corp.example/token",service="registry.corp.example",scope="repository:team/a:pull repository:team/b:pull,push",error="insufficient_scope"',
    )
  })

  test('for passwords says how they are written', () => {
    expect(challenge({ ...at, mode: 'basic' })).toBe('Basic realm="registry.corp.example", charset="UTF-8"')
  })

  test('stays one header of one challenge, whatever is in it', () => {
    const scope = [{ type: 'repository', name: 'a"\r\nset-cookie: b\\', actions: ['pull'] }] as const
    expect(challenge({ ...at, mode: 'bearer', scope })).toBe(
      String.raw`Bearer realm="https://registry.corp.example/token",service="registry.corp.example",scope="repository:a\"set-cookie: b\\:pull"`,
    )
  })
})
