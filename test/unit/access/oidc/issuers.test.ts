/** Which tokens are logins, and whose. */
import { createHmac } from 'node:crypto'
import { exportSPKI } from 'jose'
import { describe, expect, test } from 'vitest'
import { LoginRefused } from '../../../../src/access/caller.ts'
import { Issuers } from '../../../../src/access/oidc/issuers.ts'
import type { OidcOptions } from '../../../../src/access/options.ts'
import { createLogger } from '../../../../src/observe/log.ts'
import { loopbackCertificate } from '../../../fake/certificates.ts'
import { FakeClock } from '../../../fake/clock.ts'
import { createSigningKey, startIssuer, type TestIssuer, type TokenForm } from '../../../support/issuer.ts'
import { entryOf, failure, refusal, skewMs, startRig } from './rig.ts'

type Claims = Record<string, unknown>

const log = createLogger('silent')
const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

describe('a right token', () => {
  test('is a login of the user that it names, until it ends', async () => {
    await using rig = await startRig()
    const { issuers, issuer, clock } = rig
    const { caller, until } = await issuers.verify(await issuer.token({ ref: 'main' }))
    expect(caller).toMatchObject({ method: 'oidc', user: 'robot', provider: 'ci', certificate: undefined })
    expect(caller.claims).toMatchObject({ iss: issuer.url, ref: 'main' })
    expect(until).toBe(clock.now() + 300_000 + skewMs)
    expect(issuers.has('ci')).toBe(true)
    expect(issuers.has('robot')).toBe(false)
    await expect(issuers.verify(await issuer.token(), 'ci')).resolves.toMatchObject({
      caller: { user: 'robot' },
    })
  })

  test('rests on terms that change with what is asked of it, and not with the keys of its issuer', async () => {
    await using rig = await startRig()
    const { issuers, issuer, clock } = rig
    const terms = issuers.termsOf('ci')
    issuer.keys = [await createSigningKey()]
    await issuers.verify(await issuer.token())
    expect(issuers.termsOf('ci')).toBe(terms)
    const other = new Issuers([entryOf(issuer, { claims: { ref: 'main' } })], { clock, log })
    expect([other.termsOf('ci') === terms, other.termsOf('robot')]).toEqual([false, undefined])
    await other.close()
  })

  test.each(['RS256', 'PS384', 'ES256', 'ES384', 'EdDSA'])('may be signed by %s', async algorithm => {
    await using rig = await startRig({}, { algorithm })
    await expect(rig.issuers.verify(await rig.issuer.token())).resolves.toBeDefined()
  })

  test('needs no kid, whichever of several keys it is signed with', async () => {
    await using rig = await startRig()
    rig.issuer.keys = [await createSigningKey(), await createSigningKey(), await createSigningKey()]
    for (const key of rig.issuer.keys) {
      const token = await rig.issuer.token({}, { key, header: { kid: undefined } })
      await expect(rig.issuers.verify(token)).resolves.toBeDefined()
    }
  })

  test.each<[string, Partial<OidcOptions>, Claims]>([
    ['one audience of several', {}, { aud: ['other', 'layover'] }],
    ['another audience of ours', { audience: ['x', 'y'] }, { aud: 'y' }],
    ['a required claim', { claims: { ref: 'main' } }, { ref: 'main' }],
    ['one of the values', { claims: { ref: ['main', 'next'] } }, { ref: 'next' }],
    ['an element of a list', { claims: { groups: 'admins' } }, { groups: ['all', 'admins'] }],
    ['a number', { claims: { run: '7' } }, { run: 7 }],
    ['true', { claims: { protected: 'true' } }, { protected: true }],
    ['no iat', {}, { iat: undefined }],
  ])('has %s', async (_, differences, claims) => {
    await using rig = await startRig(differences)
    await expect(rig.issuers.verify(await rig.issuer.token(claims))).resolves.toBeDefined()
  })

  test('names its user by the claim that is configured', async () => {
    await using rig = await startRig({ userClaim: 'email' })
    const { caller } = await rig.issuers.verify(await rig.issuer.token({ email: 'a@corp.example' }))
    expect(caller.user).toBe('a@corp.example')
  })

  test('of an issuer whose certificate the configuration trusts', async () => {
    await using rig = await startRig({ ca: loopbackCertificate.cert }, { tls: loopbackCertificate })
    await expect(rig.issuers.verify(await rig.issuer.token())).resolves.toBeDefined()
  })

  test('is known by keys that the configuration has or that lie at a URL, without discovery', async () => {
    await using issuer = await startIssuer()
    const clock = new FakeClock(Date.now())
    for (const keys of [{ jwks: issuer.keySet() }, { jwksUrl: issuer.keysUrl }]) {
      const issuers = new Issuers([entryOf(issuer, keys)], { clock, log })
      await expect(issuers.verify(await issuer.token())).resolves.toBeDefined()
      await issuers.close()
    }
    expect(issuer.asked).toEqual({ discovery: 0, keys: 1 })
  })
})

const seconds = (ms: number) => Math.floor(ms / 1000)
const now = seconds(new FakeClock().now())
const skew = skewMs / 1000

describe('a token is refused that', () => {
  test.each<[string, Claims, TokenForm, string]>([
    ['has another audience', { aud: 'other' }, {}, 'unexpected "aud" claim value'],
    ['has no audience', { aud: undefined }, {}, 'missing required "aud" claim'],
    ['has an audience in part', { aud: 'layove' }, {}, 'unexpected "aud" claim value'],
    ['has an audience that is no text', { aud: { layover: true } }, {}, 'unexpected "aud" claim value'],
    ['never ends', { exp: undefined }, {}, 'missing required "exp" claim'],
    ['has ended', { exp: now - skew }, {}, '"exp" claim timestamp check failed'],
    ['ends beyond all time', { exp: 1e300 }, {}, '"exp" is no time'],
    ['has an end that is no number', { exp: '9999999999' }, {}, '"exp" claim must be a number'],
    ['is not valid yet', { nbf: now + skew + 1 }, {}, '"nbf" claim timestamp check failed'],
    ['was made in the future', { iat: now + skew + 1 }, {}, '"iat" is in the future'],
    ['has an iat that is no number', { iat: 'x' }, {}, '"iat" claim must be a number'],
    ['names no user', { sub: undefined }, {}, 'the claim "sub" names no user'],
    ['names an empty user', { sub: '' }, {}, 'the claim "sub" names no user'],
    ['names a user with a line break', { sub: 'a\nb' }, {}, 'the claim "sub" names no user'],
    ['names a list of users', { sub: ['root'] }, {}, 'the claim "sub" names no user'],
    ['lacks a required claim', { ref: undefined }, {}, 'the claim "ref" is not as it has to be'],
    ['has another value of one', { ref: 'mainx' }, {}, 'the claim "ref" is not as it has to be'],
    ['has a large number for one', { big: 2 ** 53 }, {}, 'the claim "big" is not as it has to be'],
    [
      'has an unknown key',
      {},
      { header: { kid: 'other' } },
      'no applicable key found in the JSON Web Key Set',
    ],
    ['has crit', {}, { header: { crit: ['exp'], exp: 1 } }, 'the token\'s header has "crit"'],
    ['brings its key', {}, { header: { jwk: { kty: 'EC' } } }, 'the token\'s header has "jwk"'],
    ['says where its key is', {}, { header: { jku: 'https://evil.test' } }, 'the token\'s header has "jku"'],
    ['brings a certificate', {}, { header: { x5c: ['MII'] } }, 'the token\'s header has "x5c"'],
    ['is a logout', {}, { header: { typ: 'logout+jwt' } }, "the token's type is not that of a login"],
    ['has a kid that is no text', {}, { header: { kid: 7 } }, "the token's kid is not a text"],
  ])('%s', async (_, claims, form, reason) => {
    const required = { ref: 'main', big: ['1', String(2 ** 53)] }
    await using rig = await startRig({ claims: required })
    const token = await rig.issuer.token({ ref: 'main', big: 1, ...claims }, form)
    expect(await refusal(rig.issuers.verify(token))).toContain(reason)
  })

  test('is of another issuer, or of another provider', async () => {
    await using rig = await startRig()
    const { issuer, issuers } = rig
    const foreign = 'the token is of an issuer that is not configured, or not for this provider'
    expect(await refusal(issuers.verify(await issuer.token({ iss: `${issuer.url}/` })))).toBe(foreign)
    expect(await refusal(issuers.verify(await issuer.token({ iss: undefined })))).toBe(foreign)
    expect(await refusal(issuers.verify(await issuer.token(), 'other'))).toBe(foreign)
    expect(issuer.asked).toEqual({ discovery: 0, keys: 0 })
  })

  test('is signed by somebody else', async () => {
    await using rig = await startRig()
    const [key] = rig.issuer.keys
    const stranger = { ...(await createSigningKey()), id: key?.id ?? '' }
    const token = await rig.issuer.token({}, { key: stranger })
    expect(await refusal(rig.issuers.verify(token))).toBe('ci: signature verification failed')
  })

  test.each<[string, (issuer: TestIssuer) => Promise<string>]>([
    ['is not signed', async issuer => `${encoded({ alg: 'none' })}.${(await issuer.token()).split('.')[1]}.`],
    [
      'is not signed, with a signature',
      async issuer => `${encoded({ alg: 'none' })}.${(await issuer.token()).split('.')[1]}.AA`,
    ],
    ['is encrypted', async () => `${encoded({ alg: 'RSA-OAEP', enc: 'A256GCM' })}.AA.AA.AA.AA`],
    ['is too long', async issuer => await issuer.token({ long: 'x'.repeat(16 * 1024) })],
    ['is empty', async () => ''],
    ['is a password', async () => 'correct horse'],
    ['is not JSON', async () => 'AA.AA.AA'],
    ['is a list', async () => `${encoded([])}.${encoded([])}.AA`],
    ['is padded', async issuer => `${await issuer.token()}=`],
    ['has a line break', async issuer => `${await issuer.token()}\n`],
    [
      'takes a public key for a shared one',
      async issuer => {
        const [key] = issuer.keys
        const [, claims] = (await issuer.token()).split('.')
        const text = `${encoded({ alg: 'HS256', kid: key?.id })}.${claims}`
        const shared = key ? await exportSPKI(key.pair.publicKey) : ''
        return `${text}.${createHmac('sha256', shared).update(text).digest('base64url')}`
      },
    ],
  ])('%s', async (_, make) => {
    await using rig = await startRig({ algorithms: ['ES256', 'HS256', 'none'] })
    const token = await make(rig.issuer)
    const error = await failure(rig.issuers.verify(token))
    expect(error).toBeInstanceOf(LoginRefused)
    if (token !== '') expect(JSON.stringify([error.message, error.cause])).not.toContain(token)
  })

  test('is signed by an algorithm that is not allowed', async () => {
    await using rig = await startRig({ algorithms: ['RS256'] })
    const reason = await refusal(rig.issuers.verify(await rig.issuer.token()))
    expect(reason).toBe('ci: "alg" (Algorithm) Header Parameter value not allowed')
  })

  test.each<[string, Record<string, unknown>]>([
    ['of another algorithm', { alg: 'ES384' }],
    ['for encryption', { use: 'enc' }],
    ['for other operations', { key_ops: ['encrypt'] }],
    ['of another kind', { kty: 'oct', k: 'AAAA' }],
  ])('is signed with a key %s', async (_, differences) => {
    await using rig = await startRig()
    const [key] = rig.issuer.keys
    const other = await createSigningKey()
    rig.issuer.lies = { keys: { body: { keys: [other.jwk, { ...key?.jwk, ...differences }] } } }
    expect(await refusal(rig.issuers.verify(await rig.issuer.token()))).toContain('no applicable key')
  })
})

describe('clocks that are apart', () => {
  test.each<[string, Claims, boolean]>([
    ['ended just within', { exp: now - skew + 1 }, true],
    ['ended just beyond', { exp: now - skew }, false],
    ['valid just within', { nbf: now + skew }, true],
    ['valid just beyond', { nbf: now + skew + 1 }, false],
    ['made just within', { iat: now + skew }, true],
    ['made just beyond', { iat: now + skew + 1 }, false],
  ])('are borne with to the second: %s', async (_, claims, isAccepted) => {
    await using rig = await startRig()
    const error = await failure(rig.issuers.verify(await rig.issuer.token(claims)))
    expect(error instanceof LoginRefused).toBe(!isAccepted)
  })

  test('a token is accepted for as long as it is said to be, and no longer', async () => {
    await using rig = await startRig({ skewMs: 1_500 })
    const token = await rig.issuer.token()
    const { until } = await rig.issuers.verify(token)
    rig.clock.advance(until - rig.clock.now() - 1)
    await expect(rig.issuers.verify(token)).resolves.toEqual(expect.objectContaining({ until }))
    rig.clock.advance(1)
    await refusal(rig.issuers.verify(token))
  })
})

describe('several providers', () => {
  test('have each their issuer and its keys', async () => {
    const clock = new FakeClock()
    await using a = await startIssuer({ clock })
    await using b = await startIssuer({ clock })
    const issuers = new Issuers([entryOf(a, { name: 'a' }), entryOf(b, { name: 'b' })], { clock, log })
    expect((await issuers.verify(await a.token())).caller.provider).toBe('a')
    expect((await issuers.verify(await b.token(), 'b')).caller.provider).toBe('b')
    await refusal(issuers.verify(await b.token(), 'a'))
    await refusal(issuers.verify(await a.token({ iss: b.url })))
    await issuers.close()
  })

  test('of one issuer are tried in order, and ask it once', async () => {
    const clock = new FakeClock()
    await using issuer = await startIssuer({ clock })
    const entries = [
      entryOf(issuer, { name: 'releases', claims: { ref: 'main' } }),
      entryOf(issuer, { name: 'builds' }),
      entryOf(issuer, { name: 'others', audience: ['other'] }),
    ]
    const issuers = new Issuers(entries, { clock, log })
    const providerOf = async (claims: Claims) =>
      (await issuers.verify(await issuer.token(claims))).caller.provider
    expect(await providerOf({ ref: 'main' })).toBe('releases')
    expect(await providerOf({ ref: 'next' })).toBe('builds')
    expect(await providerOf({ aud: 'other' })).toBe('others')
    await refusal(issuers.verify(await issuer.token({ ref: 'next' }), 'releases'))
    const error = await failure(issuers.verify(await issuer.token({ aud: 'x' })))
    expect(error).toMatchObject({ user: 'releases:robot' })
    expect(error.message.split('; ')).toHaveLength(3)
    expect(issuer.asked).toEqual({ discovery: 1, keys: 1 })
    await issuers.close()
  })
})
