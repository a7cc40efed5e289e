/** The keys of one entry of `access.oidc`. */
import { createSecretKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { exportJWK } from 'jose'
import { describe, expect, test } from 'vitest'
import { signatureAlgorithms } from '../../../src/access/oidc/key-set.ts'
import { oidc, oidcOptions } from '../../../src/config/access/oidc-schema.ts'
import { ConfigDocument } from '../../../src/config/document.ts'
import { resolveReferences } from '../../../src/config/references.ts'
import { Sources } from '../../../src/config/sources.ts'
import { caCertificate } from '../../fake/certificates.ts'
import { createSigningKey } from '../../support/issuer.ts'
import { tempDir } from '../../support/temp-dir.ts'

const least = { name: 'gitlab', issuer: 'https://gitlab.corp.example', audience: 'layover' }
const key = await createSigningKey()
const keySet = JSON.stringify({ keys: [key.jwk] }, undefined, 2)
const keySetOf = (...keys: unknown[]) => JSON.stringify({ keys })

describe('an entry', () => {
  test('needs a name, an issuer and an audience', () => {
    expect(oidcOptions(oidc.parse(least))).toEqual({
      name: 'gitlab',
      issuer: 'https://gitlab.corp.example',
      audience: ['layover'],
      jwks: undefined,
      jwksUrl: undefined,
      claims: {},
      userClaim: 'sub',
      algorithms: signatureAlgorithms,
      skewMs: 60_000,
      ca: undefined,
    })
  })

  test('may say everything', () => {
    const given = {
      ...least,
      issuer: 'http://localhost:8081/realm/',
      audience: ['a', 'b'],
      jwks: keySet,
      claims: { ref: 'main', protected: true, runs: [1, 'x'] },
      user: 'email',
      algorithms: ['ES256'],
      skew: '30s',
      ca: caCertificate,
    }
    expect(oidcOptions(oidc.parse(given))).toEqual({
      name: 'gitlab',
      issuer: 'http://localhost:8081/realm/',
      audience: ['a', 'b'],
      jwks: keySet,
      jwksUrl: undefined,
      claims: { ref: ['main'], protected: ['true'], runs: ['1', 'x'] },
      userClaim: 'email',
      algorithms: ['ES256'],
      skewMs: 30_000,
      ca: caCertificate,
    })
  })

  test('takes its keys from a file, with all of its lines', async () => {
    await using dir = await tempDir()
    await writeFile(dir.join('keys.json'), `${keySet}\n`)
    const document = new ConfigDocument('oidc: [{jwks: "file:keys.json"}]')
    const sources = new Sources(dir.join('upstreams.yaml'))
    expect((await resolveReferences(document, { sources, env: {} })).problems).toEqual([])
    expect(document.toJS()).toEqual({ oidc: [{ jwks: `${keySet}\n` }] })
  })
})

test('the entries of docs/how-to/oidc.md are right', () => {
  const blocks = readFileSync('docs/how-to/oidc.md', 'utf8').matchAll(/```yaml\n(access:\n[^`]*)```/g)
  const entries = [...blocks].flatMap(([, yaml = '']) => {
    const { access } = new ConfigDocument(yaml).toJS() as { access: { oidc: { jwks?: string }[] } }
    return access.oidc.map(entry => (entry.jwks === undefined ? entry : { ...entry, jwks: keySet }))
  })
  expect(entries).toHaveLength(4)
  expect(entries.map(entry => oidc.safeParse(entry).error)).toEqual(entries.map(() => undefined))
})

const secret = await exportJWK(createSecretKey(Buffer.alloc(32)))
const secretKey = await exportJWK(key.pair.privateKey)
const notPublic = 'expected public keys only: this key set has private or shared ones'
const noKey = 'expected a JSON Web Key Set with at least one public key'
const noUrl = 'expected a URL such as https://'

describe('a mistake in an entry', () => {
  test.each<[string, Record<string, unknown>, string, string]>([
    ['a name with a colon', { name: 'a:b' }, 'name', 'expected a name such as github-actions'],
    ['a name in capitals', { name: 'GitLab' }, 'name', 'expected a name such as github-actions'],
    ['an issuer that is no URL', { issuer: 'gitlab.corp.example' }, 'issuer', noUrl],
    ['an issuer of another kind', { issuer: 'ftp://gitlab.corp.example' }, 'issuer', noUrl],
    ['an issuer with a password', { issuer: 'https://a:b@gitlab.corp.example' }, 'issuer', noUrl],
    ['an issuer with a query', { issuer: 'https://gitlab.corp.example?x' }, 'issuer', 'without ? and #'],
    ['an issuer without TLS', { issuer: 'http://gitlab.corp.example' }, 'issuer', 'may log in as anybody'],
    ['no audience', { audience: undefined }, 'audience', ''],
    ['an empty list of audiences', { audience: [] }, 'audience', ''],
    ['an empty audience', { audience: '' }, 'audience.0', 'expected a text, not nothing'],
    ['keys without TLS', { jwksUrl: 'http://gitlab.corp.example/keys' }, 'jwksUrl', 'may log in as anybody'],
    ['keys that are no URL', { jwksUrl: 'keys.json' }, 'jwksUrl', noUrl],
    ['keys twice', { jwks: keySet, jwksUrl: 'https://a.test' }, 'jwksUrl', '`jwks` or `jwksUrl`, not both'],
    ['keys that are no JSON', { jwks: 'keys.json' }, 'jwks', 'expected a JSON Web Key Set: {"keys": […]}'],
    [
      'one key alone',
      { jwks: JSON.stringify(key.jwk) },
      'jwks',
      'expected a JSON Web Key Set: {"keys": […]}',
    ],
    ['no keys', { jwks: keySetOf() }, 'jwks', noKey],
    ['a broken key', { jwks: keySetOf({ ...key.jwk, x: 'AA' }) }, 'jwks', noKey],
    ['a shared key alone', { jwks: keySetOf(secret) }, 'jwks', noKey],
    ['a shared key too', { jwks: keySetOf(key.jwk, secret) }, 'jwks', notPublic],
    ['a private key too', { jwks: keySetOf(key.jwk, secretKey) }, 'jwks', notPublic],
    ['a claim that is nothing', { claims: { ref: '' } }, 'claims.ref', 'expected a text, or a list of texts'],
    ['a claim that is keys', { claims: { ref: { a: 'b' } } }, 'claims.ref', 'expected a text, or a list'],
    ['a claim without values', { claims: { ref: [] } }, 'claims.ref', 'expected a text, or a list of texts'],
    ['a claim with null', { claims: { ref: [null] } }, 'claims.ref', 'expected a text, or a list of texts'],
    ['no algorithm', { algorithms: [] }, 'algorithms', ''],
    ['a shared secret', { algorithms: ['HS256'] }, 'algorithms.0', ''],
    ['no signature', { algorithms: ['none'] }, 'algorithms.0', ''],
    ['clocks that are wrong', { skew: '1h' }, 'skew', 'at most 10m'],
    ['certificates that are none', { ca: 'x' }, 'ca', 'expected certificates as PEM text'],
    ['an unknown key', { audiences: [] }, '', ''],
  ])('is told: %s', (_, differences, path, message) => {
    const { error } = oidc.safeParse({ ...least, ...differences })
    const [issue] = error?.issues ?? []
    expect(issue?.path.join('.')).toBe(path)
    expect(issue?.message).toContain(message)
    expect(JSON.stringify(error)).not.toContain(String(secretKey.d))
  })
})
