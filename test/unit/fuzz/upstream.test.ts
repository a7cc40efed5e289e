/** What upstreams write: headers of any form, and bodies of any content, are read, passed over, or refused as an UpstreamError. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { isSchema1, viewManifest } from '../../../src/oci/manifest.ts'
import { parseChallenges } from '../../../src/upstream/auth/challenge.ts'
import { parseRealm } from '../../../src/upstream/auth/realm.ts'
import { usableMs } from '../../../src/upstream/auth/token-life.ts'
import { nextPage } from '../../../src/upstream/objects/link.ts'
import { retryAfterMs } from '../../../src/upstream/transport/retry-after.ts'
import { UpstreamError } from '../../../src/upstream/upstream-error.ts'
import { anyText } from '../../support/any-text.ts'
import {
  clientFor,
  HeldClock,
  indexType,
  manifestDigest,
  optionsFor,
  repository,
  serve,
  tag,
} from '../upstream/support.ts'
import { megabytes, often, patient } from './fuzz.ts'

const page = new URL('https://registry.test/v2/a/tags/list?n=2')
const bits = fc.constantFrom(
  'Bearer',
  'Basic',
  ' ',
  ',',
  '=',
  '"',
  '\\',
  '\\"',
  'realm',
  'scope',
  'https://a.test/t',
  'repository:a:pull,push',
  'pull',
  '<',
  '>',
  ';',
  'rel',
  'next',
  'prev',
  '?n=1',
  '\t',
  'é',
  '::',
  '//',
  '1e999',
  '-1',
  '0x10',
  '1.5',
  'ms',
  's',
  'retry-after:',
)
const headers = fc.oneof(
  fc.array(bits, { maxLength: 25 }).map(found => found.join('')),
  anyText(),
)

describe('headers', () => {
  const clock = new HeldClock()
  const cases = (text: string) => {
    for (const { scheme, params } of parseChallenges(text)) {
      expect(scheme).toBe(scheme.toLowerCase())
      const realm = parseRealm(params.get('realm'), page)
      expect(realm?.protocol ?? 'https:').toBe('https:')
    }
    expect(nextPage(text, page)).toBeOneOf([undefined, expect.any(URL)])
    const waitMs = retryAfterMs(text, text, clock)
    expect(waitMs >= 1_000 && waitMs <= 300_000).toBe(true)
    const lifeMs = usableMs(text, text, clock.now())
    expect(lifeMs >= 30_000 && lifeMs <= 12 * 3_600_000).toBe(true)
  }

  test('of any text are read or passed over', () => fc.assert(fc.property(headers, cases), often))
  test('of a megabyte too', () => void megabytes.map(cases), patient)

  test('a challenge comes out as it was put in', () => {
    const value = fc.string({ unit: fc.constantFrom('a', ',', ' ', '=', '"', '\\', ':', '/'), maxLength: 12 })
    fc.assert(
      fc.property(value, value, (realm, scope) => {
        const quoted = (text: string) => `"${text.replaceAll(/["\\]/g, found => `\\${found}`)}"`
        const [found, ...others] = parseChallenges(`Bearer realm=${quoted(realm)},scope=${quoted(scope)}`)
        expect(others).toEqual([])
        expect(Object.fromEntries(found?.params ?? [])).toEqual({ realm, scope })
      }),
      often,
    )
  })

  test('a token is used for a while, whatever its claims say', () => {
    const claim = fc
      .oneof(fc.double({ noNaN: true }), fc.constantFrom('1e999', 'null', '"x"', '-1e308', '1e308', '[]'))
      .map(String)
    fc.assert(
      fc.property(claim, claim, claim, (exp, iat, expiresIn) => {
        const claims = Buffer.from(`{"exp":${exp},"iat":${iat}}`).toString('base64url')
        for (const life of [undefined, expiresIn, Number(expiresIn)]) {
          const lifeMs = usableMs(`a.${claims}.c`, life, clock.now())
          expect(lifeMs >= 30_000 && lifeMs <= 12 * 3_600_000).toBe(true)
        }
      }),
      often,
    )
  })
})

const descriptor = { mediaType: indexType, digest: manifestDigest, size: 5 }
const deep = (depth: number, open: string, close: string) => open.repeat(depth) + close.repeat(depth)

describe('manifests', () => {
  test('of 10 000 layers are read whole, and those nested 10 000 levels and more do no harm', () => {
    const layers = Array.from({ length: 10_000 }, (_, nth) => ({
      ...descriptor,
      digest: digestOf(Buffer.from(String(nth))),
    }))
    expect(viewManifest(Buffer.from(JSON.stringify({ layers })))?.blobs).toHaveLength(10_000)
    for (const key of ['layers', 'manifests', 'config', 'subject', 'annotations', 'artifactType', 'x']) {
      for (const depth of [10_000, 250_000]) {
        expect(viewManifest(Buffer.from(`{"${key}":${deep(depth, '[', ']')}}`))?.required).toEqual([])
        expect(
          viewManifest(Buffer.from(`{"${key}":${deep(depth, '{"a":', '}').replace('}', '1}')}}`))?.required,
        ).toEqual([])
        expect(viewManifest(Buffer.from(`{"${key}":${'['.repeat(depth)}`))).toBeUndefined()
      }
    }
  })

  test('of huge strings, of keys twice over and of broken UTF-8 are views, or none', () => {
    const huge = 'x'.repeat(4 * 2 ** 20)
    expect(viewManifest(Buffer.from(`{"mediaType":"${huge}"}`))?.mediaType).toBe(huge)
    expect(viewManifest(Buffer.from('{"mediaType":"a","mediaType":"b"}'))?.mediaType).toBe('b')
    expect(
      viewManifest(Buffer.from('{"__proto__":{"mediaType":"a"},"constructor":1}'))?.mediaType,
    ).toBeUndefined()
    expect(viewManifest(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]))?.blobs).toEqual([])
    expect(viewManifest(Buffer.from('\ufeff{}'))).toBeUndefined()
    for (const text of megabytes) expect(isSchema1(Buffer.from(text))).toBe(false)
  })

  test('of any bytes are views of what they list, or none', () => {
    const value = fc.oneof(
      fc.jsonValue(),
      fc.constant(descriptor),
      fc.array(fc.constantFrom<unknown>(descriptor, null, 1, [], { ...descriptor, size: -1 })),
    )
    const keys = fc.constantFrom(
      'config',
      'layers',
      'blobs',
      'manifests',
      'subject',
      'annotations',
      'mediaType',
      'schemaVersion',
      '__proto__',
    )
    const bodies = fc.oneof(
      fc.uint8Array(),
      fc.dictionary(keys, value).map(found => Buffer.from(JSON.stringify(found))),
    )
    fc.assert(
      fc.property(bodies, body => {
        const view = viewManifest(body)
        for (const { size, digest } of [
          ...(view?.required ?? []),
          ...(view?.blobs ?? []),
          ...(view?.manifests ?? []),
        ])
          expect([size, digest]).toEqual([5, manifestDigest])
      }),
      often,
    )
  })
})

describe('bodies', () => {
  const many = JSON.stringify({
    manifests: Array.from({ length: 85_000 }, () => ({ digest: manifestDigest, size: 1 })),
  })
  const known: string[] = [
    '',
    'null',
    '[]',
    '{}',
    '1',
    '"x"',
    '{"tags":1}',
    '{"tags":[1,null,"a"]}',
    '{"tags":null}',
    '{"token":1}',
    '{"token":"a\\nb"}',
  ]
  const nested = [
    deep(20_000, '[', ']'),
    `{"tags":${deep(20_000, '[', ']')}}`,
    `{"manifests":${deep(20_000, '[', ']')}}`,
    many,
  ]
  const bodies = fc.oneof(fc.constantFrom(...known), fc.constantFrom(...nested), fc.json(), anyText())

  test.each(['a registry', 'its token realm'])('of %s are taken for what they are, or refused', async who => {
    let body = ''
    let ours = 0
    await using registry = await serve((request, response) => {
      const isRealm = request.url?.startsWith('/token')
      if (isRealm || request.headers.authorization) ours += 1
      if (who === 'a registry' || isRealm) return response.setHeader('content-type', indexType).end(body)
      const realm = `http://registry.hub.test:${registry.port}/token`
      return response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}",service="s"` }).end()
    })
    await using client = clientFor(optionsFor(`http://registry.hub.test:${registry.port}`))
    const { upstream } = client
    const asks: (() => Promise<unknown>)[] = [
      () => upstream.listTags(repository, {}),
      () => upstream.listReferrers(repository, manifestDigest),
      () => upstream.getManifest(repository, tag, { maxBytes: 8 * 2 ** 20 }),
    ]
    await fc.assert(
      fc.asyncProperty(bodies, fc.constantFrom(...asks), async (given, ask) => {
        body = given
        await ask().catch((error: unknown) => expect(error).toBeInstanceOf(UpstreamError))
      }),
      { ...often, numRuns: Math.min(often.numRuns, 100) },
    )
    expect(ours > 0).toBe(who === 'its token realm')
  })
})
