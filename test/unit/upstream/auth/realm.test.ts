import { expect, test } from 'vitest'
import { mayHavePassword, parseRealm } from '../../../../src/upstream/auth/realm.ts'

const trusts = (realm: string, registry: string, authRealms: string[] = []) =>
  mayHavePassword(new URL(realm), new URL(registry), authRealms)

test.each([
  ['https://ghcr.io/token', 'https://ghcr.io', true],
  ['https://ghcr.io:8443/token', 'https://ghcr.io', false],
  ['https://auth.docker.io/token', 'https://registry-1.docker.io', true],
  ['https://ghcr.io/token', 'https://lscr.io', true],
  ['https://evil.docker.io/token', 'https://registry-1.docker.io', false],
  ['https://auth.docker.io.evil.test/token', 'https://registry-1.docker.io', false],
  ['https://gitlab.corp.example/jwt', 'https://registry.corp.example', false],
  ['http://ghcr.io/token', 'https://ghcr.io', false],
  ['http://registry.test/token', 'http://registry.test', true],
])('the password may go to %s of %s: %s', (realm, registry, expected) => {
  expect(trusts(realm, registry)).toBe(expected)
})

test('authRealms names hosts, with a port where it is not the own one of the scheme', () => {
  expect(trusts('https://gitlab.corp/jwt', 'https://registry.corp', ['gitlab.corp'])).toBe(true)
  expect(trusts('https://gitlab.corp:8443/jwt', 'https://registry.corp', ['gitlab.corp'])).toBe(false)
  expect(trusts('https://gitlab.corp:8443/jwt', 'https://registry.corp', ['gitlab.corp:8443'])).toBe(true)
  expect(trusts('https://gitlab.corp/jwt', 'https://registry.corp', ['gitlab.corp:443'])).toBe(true)
  expect(trusts('http://gitlab.corp/jwt', 'https://registry.corp', ['gitlab.corp'])).toBe(false)
})

test('realms that are no http URL, carry a user name, or would drop encryption are none', () => {
  const registry = new URL('https://registry.test')
  expect(parseRealm('https://auth.test/token', registry)?.host).toBe('auth.test')
  expect(parseRealm('http://auth.test/token', registry)).toBeUndefined()
  expect(parseRealm('https://user:secret@auth.test/token', registry)).toBeUndefined()
  expect(parseRealm('file:///etc/passwd', registry)).toBeUndefined()
  expect(parseRealm('token', registry)).toBeUndefined()
  expect(parseRealm(undefined, registry)).toBeUndefined()
})
