/** What clients write into paths and headers, against simple models of what it means; and a megabyte of it. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { notModified, rangeApplies } from '../../../src/edge/reads/conditional.ts'
import { pageAsked } from '../../../src/edge/reads/paging.ts'
import { wantedBlob, wantedManifest, wantedSubject } from '../../../src/edge/reads/wanted.ts'
import { type Operation, parseRoute } from '../../../src/edge/route.ts'
import { isDigest, isForeignDigest, parseDigest } from '../../../src/oci/digest.ts'
import { RegistryError } from '../../../src/oci/errors.ts'
import { isMediaType } from '../../../src/oci/media-type.ts'
import { isRepositoryName, isTag, parseRepositoryName } from '../../../src/oci/name.ts'
import { matchesPattern } from '../../../src/oci/pattern.ts'
import { maxRanges, parseRange, resolveRange } from '../../../src/oci/range.ts'
import { parseReference, referenceText } from '../../../src/oci/reference.ts'
import { goesInCircles, marksIn } from '../../../src/upstream/transport/loop.ts'
import { anyText } from '../../support/any-text.ts'
import { megabytes, often, patient, throwsOnly } from './fuzz.ts'

/** Letter for letter from the distribution specification. */
const specName = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/
const specTag = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const specDigest = /^[a-z0-9]+([+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/

const letters = fc.constantFrom(
  'a',
  'Z',
  '0',
  '.',
  '_',
  '-',
  '/',
  ':',
  '@',
  '+',
  '=',
  '%',
  '\\',
  '\0',
  '\n',
  'é',
  ' ',
)
const odd = fc.oneof(fc.string({ unit: letters, maxLength: 300 }), anyText())
const hex = fc.string({
  unit: fc.constantFrom(...'0123456789abcdef'.split('')),
  minLength: 62,
  maxLength: 66,
})
const digests = fc.oneof(
  odd,
  fc
    .tuple(fc.constantFrom('sha256', 'sha512', 'SHA256', 'md5', 'blake3', 'a+b'), fc.oneof(hex, odd))
    .map(parts => parts.join(':')),
)

describe('names', () => {
  const cases = (text: string) => {
    expect(isRepositoryName(text)).toBe(text.length <= 255 && specName.test(text))
    expect(isTag(text)).toBe(specTag.test(text))
    throwsOnly(RegistryError, () => expect(parseRepositoryName(text)).toBe(text))
    throwsOnly(RegistryError, () => expect(referenceText(parseReference(text))).toBe(text))
  }

  test('are those of the specification, whatever is tried', () => fc.assert(fc.property(odd, cases), often))
  test('of a megabyte are none', () => void megabytes.map(cases), patient)
})

describe('digests', () => {
  const cases = (text: string) => {
    if (isDigest(text)) expect(specDigest.test(text)).toBe(true)
    if (isForeignDigest(text)) expect(specDigest.test(text) && !isDigest(text)).toBe(true)
    for (const parse of [parseDigest, wantedBlob, wantedManifest, wantedSubject])
      throwsOnly(RegistryError, () => parse(text))
  }

  test('are those of the specification, whatever is tried', () =>
    fc.assert(fc.property(digests, cases), often))
  test('of a megabyte are none', () => void megabytes.map(cases), patient)
})

describe('routes', () => {
  const isRegistry = (name: string) => name === 'docker.io'
  const pieces = fc.constantFrom(
    '/',
    '/',
    '/',
    'v2',
    'docker.io',
    'a',
    'b',
    '..',
    '.',
    '',
    '%2f',
    '%5C',
    '%00',
    '%0a',
    '%',
    '%C3%A9',
    '%ff',
    '%2e',
    '\n',
    '\u2028',
    'manifests',
    'blobs',
    'uploads',
    'tags',
    'list',
    'referrers',
    '_catalog',
    '_ext',
    '_namespaces',
    '_oci',
    'ext',
    'discover',
  )
  const paths = fc
    .array(pieces, { maxLength: 14 })
    .map(found => `/${found.join('/')}`.replaceAll(/\/{2,3}/g, '/'))

  /** From the right end, component by component; undefined: no operation, or one that is not modelled. */
  // biome-ignore lint/complexity/noExcessiveCognitiveComplexity: a table of what the specification says
  const model = (path: string): Operation | undefined => {
    const parts = path.split('/')
    const nameUpTo = (count: number) => parts.slice(0, -count).join('/')
    const [third = '', second = '', last = ''] = [parts.at(-3), parts.at(-2), parts.at(-1)]
    if (second === 'tags' && last === 'list' && parts.length > 2) return { kind: 'tags', name: nameUpTo(2) }
    if (third === 'blobs' && second === 'uploads' && parts.length > 3)
      return { kind: 'uploads', name: nameUpTo(3), session: last === '' ? undefined : last }
    if (second === 'blobs' && last === 'uploads' && parts.length > 2)
      return { kind: 'uploads', name: nameUpTo(2), session: undefined }
    if (parts.length < 3 || last === '') return undefined
    if (second === 'manifests') return { kind: 'manifest', name: nameUpTo(2), reference: last }
    if (second === 'blobs') return { kind: 'blob', name: nameUpTo(2), digest: last }
    return second === 'referrers' ? { kind: 'referrers', name: nameUpTo(2), subject: last } : undefined
  }

  const modelled = new Set<string | undefined>(['tags', 'uploads', 'manifest', 'blob', 'referrers'])
  const check = (path: string) =>
    throwsOnly(RegistryError, () => {
      const operation = parseRoute(path, isRegistry)?.operation
      const text = JSON.stringify(operation ?? {})
      expect(text).not.toMatch(/"(?:[^"]*\/)?\.{1,2}(?:\/[^"]*)?"/) // no component climbs or stays
      if (operation && 'name' in operation) expect(operation.name ?? 'a').not.toMatch(/^\/|\/\/|\/$|^$/)
    })

  test('hold no component that climbs, and no empty one', () => fc.assert(fc.property(paths, check), often))

  test('are what their last components say', () => {
    const plain = fc.constantFrom(
      'a',
      'b',
      'manifests',
      'blobs',
      'uploads',
      'tags',
      'list',
      'referrers',
      'v2',
    )
    fc.assert(
      fc.property(fc.array(plain, { minLength: 1, maxLength: 7 }), fc.boolean(), (parts, slash) => {
        const path = parts.join('/') + (slash ? '/' : '')
        throwsOnly(RegistryError, () => {
          const { operation } = parseRoute(`/v2/${path}`, isRegistry) ?? {}
          if (modelled.has(operation?.kind)) expect(operation).toEqual(model(path))
        })
        if (model(path)) expect(parseRoute(`/v2/${path}`, isRegistry)?.operation).toEqual(model(path))
      }),
      often,
    )
  })

  test('of any text, and of a megabyte, are refused if they are none', () => {
    fc.assert(
      fc.property(odd, text => check(`/v2/${text}`)),
      often,
    )
    fc.assert(
      fc.property(odd, text => check(`/docker.io/${text}`)),
      often,
    )
    for (const text of megabytes)
      for (const path of [text, `/v2/${text}`, `/${text}/v2/`, `/docker.io/${text}`]) check(path)
  })
})

describe('ranges', () => {
  const position = fc.oneof(
    fc.nat({ max: 40 }).map(String),
    fc.constantFrom('', '0', '00', '9007199254740993', '9'.repeat(400)),
  )
  const spec = fc.tuple(position, position).map(([first, last]) => `${first}-${last}`)
  const headers = fc.array(fc.oneof({ weight: 9, arbitrary: spec }, { weight: 1, arbitrary: odd }), {
    minLength: 1,
    maxLength: 8,
  })

  /** RFC 9110 §14.1.2, on integers of any size. */
  const model = (text: string, size: number): number[] | undefined => {
    const [, first = '', last = ''] = /^(\d*)-(\d*)$/.exec(text) ?? []
    if (first === '' && last === '') return undefined
    const bytes = Array.from({ length: size }, (_, at) => BigInt(at))
    if (first === '') return bytes.filter(at => at >= BigInt(size) - BigInt(last)).map(Number)
    return bytes.filter(at => at >= BigInt(first) && (last === '' || at <= BigInt(last))).map(Number)
  }

  test('mean the bytes that the model says, or are ignored', () => {
    fc.assert(
      fc.property(headers, fc.nat({ max: 50 }), (specs, size) => {
        const texts = specs
          .join(',')
          .split(',')
          .map(text => text.trim())
        const expected = texts.map(text => model(text, size))
        const found = parseRange(`bytes=${specs.join(',')}`)
        expect(found === undefined).toBe(expected.includes(undefined))
        for (const [at, asked] of (found ?? []).entries()) {
          const range = resolveRange(asked, size)
          const bytes = range
            ? Array.from({ length: range.last - range.first + 1 }, (_, nth) => range.first + nth)
            : []
          expect(bytes).toEqual(expected[at])
        }
      }),
      often,
    )
  })

  test('by the hundred thousand are counted', () => {
    expect(parseRange(`bytes=${'0-0,'.repeat(250_000)}0-0`)?.length).toBeGreaterThan(maxRanges)
    for (const text of megabytes) expect(parseRange(`bytes=${text}`)).toBeUndefined()
  })
})

describe('patterns', () => {
  test('agree with a regular expression, two stars and all', () => {
    const component = fc.string({ unit: fc.constantFrom('a', 'b', '*'), minLength: 1, maxLength: 3 })
    const patterns = fc
      .array(fc.oneof(component, fc.constant('**')), { minLength: 1, maxLength: 4 })
      .map(parts => parts.join('/'))
      .filter(pattern => !/\*\*\*|[^/]\*\*|\*\*[^/]/.test(pattern))
    const names = fc.string({ unit: fc.constantFrom('a', 'b', '/'), maxLength: 9 })
    fc.assert(
      fc.property(patterns, names, (pattern, name) => {
        const source = pattern
          .replaceAll('**/', '\0')
          .replaceAll('**', '\x01')
          .replaceAll('*', '[^/]*')
          .replaceAll('\0', '(?:.*/)?')
          .replaceAll('\x01', '.*')
        expect([pattern, name, matchesPattern(pattern, name)]).toEqual([
          pattern,
          name,
          new RegExp(`^${source}$`, 's').test(name),
        ])
      }),
      often,
    )
  })
})

describe('other headers and parameters', () => {
  const digest = parseDigest(`sha256:${'a'.repeat(64)}`)
  const cases = (text: string) => {
    if (notModified(text, digest)) expect(text.includes(digest) || text.includes('*')).toBe(true)
    expect(notModified(`${text},W/"${digest}"`, digest)).toBe(true)
    expect(rangeApplies(text, digest)).toBe(text.trim() === `"${digest}"`)
    expect(isMediaType(text) && /[\s;,"]/.test(text)).toBe(false)
    const marks = marksIn(text)
    for (const mark of marks) expect(mark).toMatch(/^layover;[\w.-]{1,64}$/)
    expect(goesInCircles(marks, 'x')).toBe(marks.includes('layover;x'))
    throwsOnly(RegistryError, () => {
      const { limit } = pageAsked(new URLSearchParams({ n: text, last: text }), 100)
      expect(limit >= 0 && limit <= 100 && Number.isInteger(limit)).toBe(true)
    })
  }

  test('of any text are read or refused', () => {
    const listed = fc.array(
      fc.oneof(odd, fc.constantFrom('*', '"*"', 'W/"x"', 'layover;x', digest, `"${digest}"`)),
      { maxLength: 12 },
    )
    fc.assert(
      fc.property(
        listed.map(parts => parts.join(', ')),
        cases,
      ),
      often,
    )
  })

  test('of a megabyte too', () => void megabytes.map(cases), patient)
})
