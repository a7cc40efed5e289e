/** What can be a rule, and what the mistakes are called. */
import { array, assert, constantFrom, property } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ExpressionInvalid, failureOf, parseExpression } from '../../../../src/access/policy/expression.ts'
import { valuesOf } from '../../../../src/access/policy/vocabulary.ts'
import { runs } from '../../../support/runs.ts'
import { alice, asking, node, pipeline, type Some } from '../asked.ts'

const there =
  'action, authenticated, certificate, claims, client, digest, local, method, object, provider, reference, repository, tag, upstream, user'

function result(text: string, some?: Some): unknown {
  return parseExpression(text).value(valuesOf(asking(some)))
}

describe('an expression', () => {
  test.each<[string, Some?]>([
    ['action == "pull" && object == "manifest"'],
    ['repository == "docker.io/library/alpine" && upstream == "docker.io" && local == ""'],
    ['tag == "3.20" && digest == "" && reference == tag'],
    ['reference == digest', { tag: '', digest: 'sha256:00' }],
    ['!authenticated && method == "anonymous" && user == "" && provider == ""'],
    ['authenticated && user in ["alice", "bob"]', { caller: alice }],
    ['claims == {}'],
    ['has(claims.project) && claims.project == "a/b"', { caller: pipeline({ project: 'a/b' }) }],
    ['"admins" in claims.groups', { caller: pipeline({ groups: ['admins'] }) }],
    ['claims.groups.exists(g, g.startsWith("adm"))', { caller: pipeline({ groups: ['x', 'admins'] }) }],
    [
      'claims.realm_access.roles.filter(r, r == "push").size() == 1',
      { caller: pipeline({ realm_access: { roles: ['push'] } }) },
    ],
    ['claims.level > 3 && claims.level < 5', { caller: pipeline({ level: 4 }) }],
    ['claims.isAdmin', { caller: pipeline({ isAdmin: true }) }],
    [
      'certificate.dns.exists(name, name.endsWith(".corp.example"))',
      { caller: node({ dns: ['a.corp.example'] }) },
    ],
    ['certificate.commonNames == [] && certificate.uris.size() == 0'],
    ['"acme" in certificate.organizations', { caller: node({ organizations: ['acme'] }) }],
    ['client.inside("10.0.0.0/8") && !client.inside("10.2.0.0/16")'],
    ['client.inside("10.0.0.0/8")', { client: '::ffff:10.1.2.3' }],
    ['client.inside("::ffff:10.0.0.0/104")'],
    ['client.inside("fe80::/10")', { client: 'fe80::1%eth0' }],
    ['client.inside("fd00::/8") && !client.inside("0.0.0.0/0")', { client: 'fd00::1' }],
    [
      'repository.like("docker.io/library/*") && repository.like("**/alpine") && !repository.like("docker.io/*")',
    ],
    ['tag.like("3.*")'],
    ['repository.startsWith("local/" + user + "/")', { caller: alice, repository: 'local/alice/app' }],
    ['action in ["pull", "catalog"] ? true : false'],
    ['action == "push" || // who pushes\n  action == "pull"'],
  ])('%s', (text, some) => {
    expect(result(text, some)).toBe(true)
  })

  test.each([
    ['', 'unexpected token: EOF'],
    ['action == "pull" &&', 'unexpected token: EOF'],
    ['actoin == "pull"', `unknown variable "actoin", did you mean action? (there are: ${there})`],
    [
      'namespace == "a"',
      'namespace is a word that CEL reserves: the namespace of ours is `local`, as in the configuration',
    ],
    ['action == 1', 'no such overload: string == int in `action == 1`'],
    ['user', 'expected an expression that is true or false, and not of type string'],
    ['claims', 'expected an expression that is true or false, and not of type map<string, dyn>'],
    [
      'certificate.emali.size() == 0',
      'a certificate has no "emali", did you mean emails? (there are: commonNames, organizations, dns, emails, uris)',
    ],
    ['repository.foo("x")', 'found no matching overload for \'string.foo(string)\' in `repository.foo("x")`'],
    [
      'action == "pul"',
      'action is never "pul", did you mean pull? (there are: pull, push, delete, catalog, health, metrics) in `action == "pul"`',
    ],
    [
      '"read" != action',
      'action is never "read" (there are: pull, push, delete, catalog, health, metrics) in `"read" != action`',
    ],
    [
      'user == "a" || !(method in ["oidc", "ocdi"])',
      'method is never "ocdi", did you mean oidc? (there are: anonymous, password, oidc, certificate) in `method in ["oidc", "ocdi"]`',
    ],
    [
      'object == "manifests"',
      'object is never "manifests", did you mean manifest? (there are: manifest, blob, upload, tags, referrers) in `object == "manifests"`',
    ],
    [
      'client.inside("10.0.0.1")',
      'expected an address range such as 10.0.0.0/8, found "10.0.0.1" in `client.inside("10.0.0.1")`',
    ],
    [
      'client.inside(user)',
      'expected inside with a text in quotes; a pattern is not put together, but startsWith takes "local/" + user + "/" in `client.inside(user)`',
    ],
    [
      'repository.like("local/" + user + "/**")',
      'expected like with a text in quotes; a pattern is not put together, but startsWith takes "local/" + user + "/" in `repository.like("local/" + user + "/**")`',
    ],
    [
      'repository.like("/a")',
      'expected a pattern such as local/team/** or v1.*, found "/a" in `repository.like("/a")`',
    ],
    [
      'repository.matches("(a+)+$")',
      'has no regular expressions, some of which could stop the registry: expected like("team-*/**"), startsWith, endsWith or contains in `repository.matches("(a+)+$")`',
    ],
    [
      '[user].map(u, u.matches("a")) == [true]',
      'has no regular expressions, some of which could stop the registry: expected like("team-*/**"), startsWith, endsWith or contains in `u.matches("a")`',
    ],
    [
      'claims.a.exists(a, claims.b.exists(b, a == b))',
      'goes through one list for each element of another, which could take long: expected `in` for one of the two in `claims.b.exists(b, a == b)`',
    ],
  ])('refuses %s', (text, message) => {
    expect(() => parseExpression(text)).toThrow(new ExpressionInvalid(message))
  })

  test('refuses what is too deep, too long or has too many elements', () => {
    const parts = (count: number) => Array.from({ length: count }, () => '1')
    expect(() => parseExpression(`${'!('.repeat(100)}true${')'.repeat(100)}`)).toThrow(ExpressionInvalid)
    expect(() => parseExpression(`${parts(1_500).join('+')} == 1`)).toThrow(ExpressionInvalid)
    expect(() => parseExpression(`user == "${'x'.repeat(9_000)}"`)).toThrow(ExpressionInvalid)
    expect(() => parseExpression(`1 in [${parts(501).join(',')}]`)).toThrow(ExpressionInvalid)
  })

  test('whatever is written, it is an expression or a mistake with a message', () => {
    const words =
      'action claims claims.a client tag "pull" "10.0.0.0/8" 1 -1.5 true null x == != in && || ! ? : + ( ) [ ] { } , . // r" .inside( .like( .matches( .exists(x, .map( has( size( type( cel.bind(x,'
    const check = property(array(constantFrom(...words.split(' '), '\n'), { maxLength: 12 }), given => {
      try {
        expect(parseExpression(given.join(' ')).text).toBe(given.join(' '))
      } catch (error) {
        expect(error).toBeInstanceOf(ExpressionInvalid)
        expect((error as Error).message).not.toBe('')
      }
    })
    assert(check, runs(2_000))
  })

  test('a failure says where and never with which value', () => {
    const failures = (text: string, some: Some) => {
      const expression = parseExpression(text)
      try {
        return expression.value(valuesOf(asking(some)))
      } catch (error) {
        return failureOf(error, expression)
      }
    }
    const caller = pipeline({ secret: 'hunter2' })
    expect(failures('claims.project == "a"', { caller })).toBe(
      'claims.project is not there: has(claims.project) tells',
    )
    expect(failures('int(claims.secret) == 1', { caller })).not.toContain('hunter2')
    expect(failures('bool(claims.secret)', { caller })).toBe('bool conversion error in `bool(claims.secret)`')
    expect(failures('client.inside("10.0.0.0/8")', { client: '' })).toBe(
      'no address in `client.inside("10.0.0.0/8")`',
    )
    expect(failures('claims.constructor == "x"', { caller: pipeline({}) })).toBe(
      'claims.constructor is not there: has(claims.constructor) tells',
    )
  })

  test('tells which variables it reads', () => {
    const reads = (text: string) => [...parseExpression(text).reads]
    expect(reads('[client].exists(c, c == tag) || has(claims.user)')).toEqual(['claims', 'client', 'tag'])
    expect(reads('true')).toEqual([])
  })
})
