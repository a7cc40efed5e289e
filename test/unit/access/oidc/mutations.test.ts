/** Whatever is done to a good token, it is no login any more, and nothing breaks. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LoginRefused, LoginUnavailable } from '../../../../src/access/caller.ts'
import { anyText } from '../../../support/any-text.ts'
import { runs } from '../../../support/runs.ts'
import { failure, startRig } from './rig.ts'

const often = runs(400)
const part = fc.oneof(fc.base64String(), fc.json(), anyText())

const encoded = (text: string) => Buffer.from(text).toString('base64url')

interface Mutation {
  readonly at: number
  readonly cut: number
  readonly put: string
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
  at: fc.nat(2_000),
  cut: fc.nat(4),
  put: fc.oneof(fc.string({ maxLength: 3 }), fc.stringMatching(/^[\w.-]{0,3}$/)),
})

const mutate = (token: string, { at, cut, put }: Mutation) => {
  const from = at % (token.length + 1)
  return token.slice(0, from) + put + token.slice(from + cut)
}

describe.each(['ES256', 'RS256', 'EdDSA'])('a token signed by %s', algorithm => {
  test('is accepted as it is, and in no other way', async () => {
    await using rig = await startRig({}, { algorithm })
    const good = await rig.issuer.token()
    await rig.issuers.verify(good)
    const cases = fc.asyncProperty(mutation, async change => {
      const token = mutate(good, change)
      fc.pre(token !== good)
      expect(await failure(rig.issuers.verify(token))).toBeInstanceOf(LoginRefused)
    })
    await fc.assert(cases, often)
  })

  test('is not accepted with another last character', async () => {
    await using rig = await startRig({}, { algorithm })
    const good = await rig.issuer.token()
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    for (const last of alphabet) {
      const token = good.slice(0, -1) + last
      if (token === good) continue
      expect(await failure(rig.issuers.verify(token))).toBeInstanceOf(LoginRefused)
    }
  })
})

test('of header, claims and signature of any content none is a login', async () => {
  await using rig = await startRig()
  const good = (await rig.issuer.token()).split('.')
  const parts = fc.tuple(...good.map(given => fc.oneof(fc.constant(given), part.map(encoded), part)))
  const cases = fc.asyncProperty(parts, fc.constantFrom(undefined, 'ci', 'x'), async (given, provider) => {
    const token = given.join('.')
    fc.pre(token !== good.join('.'))
    const error = await failure(rig.issuers.verify(token, provider))
    expect(error instanceof LoginRefused || error instanceof LoginUnavailable).toBe(true)
  })
  await fc.assert(cases, often)
})

test('claims of any content, signed by the issuer, are a login or a refusal', async () => {
  await using rig = await startRig({ claims: { ref: ['main', '1'] } })
  const value = fc.oneof(fc.jsonValue(), fc.integer(), fc.constantFrom('layover', 'main', 'robot'))
  const names = fc.constantFrom('sub', 'aud', 'exp', 'nbf', 'iat', 'ref', '__proto__', 'constructor')
  const claims = fc.dictionary(names, value, { noNullPrototype: true })
  const cases = fc.asyncProperty(claims, async given => {
    const token = await rig.issuer.token({ ref: 'main', ...given })
    const outcome = await rig.issuers.verify(token).catch((error: unknown) => error)
    if (outcome instanceof LoginRefused) return
    const { caller, until } = outcome as Awaited<ReturnType<typeof rig.issuers.verify>>
    expect(caller.user).toMatch(/./)
    expect(until).toBeGreaterThan(rig.clock.now())
    expect(new Date(until).getTime()).not.toBeNaN()
  })
  await fc.assert(cases, often)
})
