/** Tokens that we hand out: what they say, how long, and what is taken for none of them. */
import { createHmac, createPrivateKey, generateKeyPairSync } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader, SignJWT, UnsecuredJWT } from 'jose'
import { describe, expect, test } from 'vitest'
import { anonymous, type Caller, LoginRefused } from '../../../../src/access/caller.ts'
import { openKeys, type TokenKeys } from '../../../../src/access/tokens/keys.ts'
import type { Scope } from '../../../../src/access/tokens/scope.ts'
import { Tokens } from '../../../../src/access/tokens/tokens.ts'
import { RegistryError } from '../../../../src/oci/errors.ts'
import { FakeClock } from '../../../fake/clock.ts'
import { ed25519Pem, p256Pem } from './pems.ts'

const minuteMs = 60_000
const dayMs = 86_400_000
const audience = 'registry.corp.example'
const alice: Caller = { ...anonymous, method: 'password', user: 'alice' }
const workflow: Caller = {
  ...anonymous,
  method: 'oidc',
  user: 'repo:org/app',
  provider: 'github',
  claims: { sub: 'repo:org/app', environment: 'production', groups: ['a', 'b'] },
}
const access: readonly Scope[] = [{ type: 'repository', name: 'team/app', actions: ['pull', 'push'] }]

async function rig({ pems = [ed25519Pem()] }: { pems?: string[] } = {}) {
  const clock = new FakeClock()
  const hashes = new Map([['alice', '$2y$10$hash-of-alice']])
  const issuers = new Map([['github', 'the organisation org']])
  const state = { keys: await openKeys(pems) }
  const tokens = new Tokens({
    keys: () => state.keys,
    lives: () => ({ lifeMs: 5 * minuteMs, refreshMs: 30 * dayMs }),
    hashOf: user => hashes.get(user),
    termsOf: provider => issuers.get(provider),
    clock,
  })
  const use = async (...other: string[]) => {
    state.keys = await openKeys(other)
  }
  const issue = async (caller: Caller, until?: number) =>
    (await tokens.issue({ caller, audience, access, until })).token
  return { clock, hashes, issuers, tokens, use, issue, keys: () => state.keys }
}

async function refusal(verifying: Promise<unknown>): Promise<string> {
  const error = await verifying.then(
    () => 'it was accepted',
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(LoginRefused)
  return (error as LoginRefused).message
}

describe('a token', () => {
  test.each([
    ['Ed25519', ed25519Pem()] as const,
    ['ES256', p256Pem()] as const,
  ])('of %s says who asked and what was granted', async (algorithm, pem) => {
    const { tokens, clock, keys } = await rig({ pems: [pem] })
    const { token, expiresIn, issuedAt } = await tokens.issue({ caller: workflow, audience, access })
    expect({ expiresIn, issuedAt }).toEqual({ expiresIn: 300, issuedAt: clock.now() })
    expect(decodeProtectedHeader(token)).toEqual({
      alg: algorithm,
      kid: keys().signing.id,
      typ: 'layover+jwt',
    })
    const now = clock.now() / 1000
    expect(decodeJwt(token)).toMatchObject({
      iss: 'layover',
      sub: 'github:repo:org/app',
      aud: audience,
      iat: now,
      nbf: now,
      exp: now + 300,
      jti: expect.stringMatching(/^[\w-]{36}$/) as string,
      access,
    })
    expect(await tokens.verify(token, audience)).toEqual({
      caller: workflow,
      access,
      until: clock.now() + 330_000,
    })
    expect(tokens.isOurs(token)).toBe(true)
  })

  test('of nobody is one too', async () => {
    const { tokens, issue } = await rig()
    const token = await issue(anonymous)
    expect(decodeJwt(token).sub).toBe('')
    expect((await tokens.verify(token, audience)).caller).toEqual(anonymous)
  })

  test('never holds a certificate', async () => {
    const { tokens, issue } = await rig()
    const certificate = { commonNames: ['node-7'], organizations: ['corp'], dns: [], emails: [], uris: [] }
    const token = await issue({ ...anonymous, method: 'certificate', user: 'node-7', certificate })
    expect(JSON.stringify(decodeJwt(token))).not.toContain('corp"')
    expect((await tokens.verify(token, audience)).caller).toEqual({
      ...anonymous,
      method: 'certificate',
      user: 'node-7',
    })
  })

  test('ends, with leeway for clocks that are apart', async () => {
    const { tokens, clock, issue } = await rig()
    const token = await issue(alice)
    clock.advance(5 * minuteMs + 29_000)
    await expect(tokens.verify(token, audience)).resolves.toMatchObject({ caller: alice })
    clock.advance(1000)
    const refused = tokens.verify(token, audience)
    expect(await refusal(refused)).toBe('the token has expired')
    await expect(refused).rejects.toMatchObject({ user: 'alice' })
  })

  test('of a replica whose clock is ahead by more than the leeway is not valid yet', async () => {
    const { tokens, clock, issue } = await rig()
    clock.advance(31_000)
    const token = await issue(alice)
    clock.advance(-31_000)
    expect(await refusal(tokens.verify(token, audience))).toBe('the token is not valid yet')
    clock.advance(1000)
    await expect(tokens.verify(token, audience)).resolves.toMatchObject({ caller: alice })
  })

  test('ends with what was shown for it', async () => {
    const { tokens, clock } = await rig()
    const until = clock.now() + 100_500
    const { token, expiresIn } = await tokens.issue({ caller: workflow, audience, access, until })
    expect(expiresIn).toBe(100)
    expect(decodeJwt(token).exp).toBe(clock.now() / 1000 + 100)
    clock.advance(100_000)
    expect(await refusal(tokens.issue({ caller: workflow, audience, access, until }))).toMatch(/has expired/)
  })

  test('that a header has no room for is not issued', async () => {
    const { issue } = await rig()
    const groups = Array.from({ length: 700 }, (_, nth) => `group-${nth}`)
    const refused = await issue({ ...workflow, claims: { groups } }).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(RegistryError)
    expect(String(refused)).toMatch(/^RegistryError: the token would have \d+ bytes, and 8192 are the most/)
  })
})

describe('a password', () => {
  test('that was changed ends its tokens', async () => {
    const { tokens, hashes, issue } = await rig()
    const token = await issue(alice)
    const refresh = (await tokens.issueRefresh({ caller: alice, audience })) ?? ''
    hashes.set('alice', '$2y$10$another')
    expect(await refusal(tokens.verify(token, audience))).toMatch(/^the password was changed/)
    expect(await refusal(tokens.verifyRefresh(refresh, audience))).toMatch(/^the password was changed/)
  })

  test('of a user who is gone ends its tokens', async () => {
    const { tokens, hashes, issue } = await rig()
    const token = await issue(alice)
    hashes.clear()
    expect(await refusal(tokens.verify(token, audience))).toBe('there is no such user any more')
    expect(await refusal(issue(alice))).toBe('there is no such user any more')
  })

  test('is told of by nothing in the token', async () => {
    const { hashes, issue } = await rig()
    const hash = hashes.get('alice') ?? ''
    const claims = JSON.stringify(decodeJwt(await issue(alice)))
    expect(claims).not.toContain(hash)
    expect(claims).not.toContain(createHmac('sha256', '').update(hash).digest('base64url'))
  })
})

describe('an issuer', () => {
  test('of which something else is asked now ends the tokens that its own were shown for', async () => {
    const { tokens, issuers, issue } = await rig()
    const token = await issue(workflow)
    issuers.set('github', 'the organisation of somebody else')
    const refused = tokens.verify(token, audience)
    expect(await refusal(refused)).toMatch(/^what is configured of the issuer was changed/)
    await expect(refused).rejects.toMatchObject({ user: 'github:repo:org/app' })
  })

  test('that is gone ends them too', async () => {
    const { tokens, issuers, issue } = await rig()
    const token = await issue(workflow)
    issuers.clear()
    expect(await refusal(tokens.verify(token, audience))).toBe('there is no such issuer any more')
    expect(await refusal(issue(workflow))).toBe('there is no such issuer any more')
  })
})

describe('a refresh token', () => {
  test('is for who showed a password, and lives longer', async () => {
    const { tokens, clock } = await rig()
    expect(await tokens.issueRefresh({ caller: workflow, audience })).toBeUndefined()
    expect(await tokens.issueRefresh({ caller: anonymous, audience })).toBeUndefined()
    const refresh = (await tokens.issueRefresh({ caller: alice, audience })) ?? ''
    expect(tokens.isOurs(refresh)).toBe(true)
    clock.advance(30 * dayMs)
    await expect(tokens.verifyRefresh(refresh, audience)).resolves.toMatchObject({ caller: alice })
    clock.advance(30_000)
    expect(await refusal(tokens.verifyRefresh(refresh, audience))).toBe('the token has expired')
  })

  test('is never taken for an access token, nor one of these for it', async () => {
    const { tokens, issue } = await rig()
    const refresh = (await tokens.issueRefresh({ caller: alice, audience })) ?? ''
    expect(await refusal(tokens.verify(refresh, audience))).toBe('the token is no access token of ours')
    expect(await refusal(tokens.verifyRefresh(await issue(alice), audience))).toBe(
      'the token is no refresh token of ours',
    )
  })
})

describe('keys', () => {
  test('that were replaced verify as long as they are configured', async () => {
    const [old, next] = [ed25519Pem(), p256Pem()]
    const { tokens, use, issue } = await rig({ pems: [old] })
    const token = await issue(alice)
    await use(next, old)
    await expect(tokens.verify(token, audience)).resolves.toMatchObject({ caller: alice })
    expect(decodeProtectedHeader(await issue(alice)).alg).toBe('ES256')
    await use(next)
    expect(await refusal(tokens.verify(token, audience))).toMatch(
      /^the token was signed with a key that is not/,
    )
  })
})

describe('what is none of ours', () => {
  const claims = { access, caller: { method: 'password', user: 'alice', provider: '', claims: {} } }
  const forged = (keys: TokenKeys, header: object = {}, iss = 'layover') =>
    new SignJWT(claims)
      .setProtectedHeader({ alg: 'Ed25519', kid: keys.signing.id, typ: 'layover+jwt', ...header })
      .setIssuer(iss)
      .setSubject('alice')
      .setAudience(audience)
      .setIssuedAt(Date.UTC(2026, 0, 1) / 1000)
      .setNotBefore(Date.UTC(2026, 0, 1) / 1000)
      .setExpirationTime(Date.UTC(2026, 0, 2) / 1000)
      .setJti('1')

  test('a token for another registry', async () => {
    const { tokens, issue } = await rig()
    expect(await refusal(tokens.verify(await issue(alice), 'other.example'))).toBe(
      'the token is for another registry',
    )
  })

  test('a token of which one part was changed', async () => {
    const { tokens, issue } = await rig()
    const parts = (await issue(alice)).split('.')
    const [header = '', payload = '', signature = ''] = parts
    const told = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object
    const more = Buffer.from(JSON.stringify({ ...told, sub: 'root' })).toString('base64url')
    const other = (await issue(anonymous)).split('.')[2] ?? ''
    const flipped = `${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`
    for (const bad of [
      [header, more, signature],
      [header, payload, other],
      [header, payload, flipped],
      [header, payload, ''],
      [header, payload],
      [header, payload, signature, signature],
      [Buffer.from('{"typ":"layover+jwt"}').toString('base64url'), payload, signature],
      ['', payload, signature],
    ])
      await expect(tokens.verify(bad.join('.'), audience)).rejects.toBeInstanceOf(LoginRefused)
  })

  test('a token of another algorithm, whoever makes it', async () => {
    const { tokens, keys, issue } = await rig()
    const { publicKey, id } = keys().signing
    const spki = Buffer.from(publicKey.export({ type: 'spki', format: 'pem' }))
    const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
    const secrets = [spki, raw]
    const ec = createPrivateKey(p256Pem())
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    const bad = [
      ...(await Promise.all(secrets.map(secret => forged(keys(), { alg: 'HS256' }).sign(secret)))),
      await forged(keys(), { alg: 'ES256' }).sign(ec),
      await forged(keys(), { alg: 'RS256' }).sign(rsa),
      await forged(keys(), { jwk: createPrivateKey(ed25519Pem()).export({ format: 'jwk' }) }).sign(
        createPrivateKey(ed25519Pem()),
      ),
      await forged(keys(), { kid: undefined }).sign(keys().signing.privateKey),
      new UnsecuredJWT(claims).setIssuer('layover').setAudience(audience).setSubject('alice').encode(),
      (await issue(alice)).replace(
        /^[^.]+/,
        Buffer.from(JSON.stringify({ alg: 'none', kid: id, typ: 'layover+jwt' })).toString('base64url'),
      ),
    ]
    for (const token of bad) await refusal(tokens.verify(token, audience))
  })

  test('a token of another issuer or kind, though our key signed it', async () => {
    const { tokens, keys } = await rig()
    const { privateKey } = keys().signing
    expect(await refusal(tokens.verify(await forged(keys(), {}, 'corp').sign(privateKey), audience))).toBe(
      'the token has a wrong iss',
    )
    const jwt = await forged(keys(), { typ: 'JWT' }).sign(privateKey)
    expect(tokens.isOurs(jwt)).toBe(false)
    expect(await refusal(tokens.verify(jwt, audience))).toBe('the token is no access token of ours')
    const unmarked = await forged(keys()).sign(privateKey)
    expect(await refusal(tokens.verify(unmarked, audience))).toMatch(/^the password was changed/)
  })

  test('anything else', async () => {
    const { tokens } = await rig()
    for (const text of ['', 'ey', 'secret', 'ey.ey.ey', 'e30.e30.e30', `ey${'a'.repeat(9000)}`]) {
      expect(tokens.isOurs(text)).toBe(false)
      await refusal(tokens.verify(text, audience))
    }
  })
})
