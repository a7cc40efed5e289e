/** Byte ranges: what is asked, and which bytes of a blob that means. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { contentRange, parseRange, type RangeSpec, resolveRange } from '../../../src/oci/range.ts'

const only = (header: string): RangeSpec => {
  const [spec, ...others] = parseRange(header) ?? []
  if (!spec || others.length > 0) throw new Error(`${header} is not one range`)
  return spec
}

describe('range header', () => {
  test.each([
    ['bytes=0-0', [{ kind: 'closed', first: 0, last: 0 }]],
    ['bytes=500-1499', [{ kind: 'closed', first: 500, last: 1499 }]],
    ['bytes=500-', [{ kind: 'from', first: 500 }]],
    ['bytes=-500', [{ kind: 'suffix', length: 500 }]],
    ['Bytes=1-2', [{ kind: 'closed', first: 1, last: 2 }]],
    ['  bytes=1-2  ', [{ kind: 'closed', first: 1, last: 2 }]],
    [
      'bytes=0-1, 4-5 ,\t-3',
      [
        { kind: 'closed', first: 0, last: 1 },
        { kind: 'closed', first: 4, last: 5 },
        { kind: 'suffix', length: 3 },
      ],
    ],
  ])('%j is read', (header, specs) => {
    expect(parseRange(header)).toEqual(specs)
  })

  test.each([
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=a-b',
    'bytes=1',
    'bytes=1-2-3',
    'bytes=--1',
    'bytes=0x1-2',
    'bytes=1.5-2',
    'bytes=1-2;3-4',
    'bytes 0-1/2',
    'items=0-1',
    'bytes=0-1,nonsense',
  ])('%j is ignored', header => {
    expect(parseRange(header)).toBeUndefined()
  })

  test('however many there are, all are told', () => {
    expect(
      parseRange(`bytes=${Array.from({ length: 300 }, (_, at) => `${at}-${at}`).join(',')}`),
    ).toHaveLength(300)
  })
})

describe('bytes meant', () => {
  test.each([
    ['bytes=500-1499', 2048, '500-1499'],
    ['bytes=500-', 2048, '500-2047'],
    ['bytes=-500', 2048, '1548-2047'],
    ['bytes=2000-5000', 2048, '2000-2047'],
    ['bytes=-5000', 2048, '0-2047'],
    ['bytes=0-0', 1, '0-0'],
    ['bytes=0-99999999999999999999999999', 10, '0-9'],
    ['bytes=-99999999999999999999999999', 10, '0-9'],
    [`bytes=3-${'9'.repeat(400)}`, 10, '3-9'],
  ])('%s of %i bytes is %s', (header, size, found) => {
    const range = resolveRange(only(header), size)
    expect(range && contentRange(range, size)).toBe(`bytes ${found}/${size}`)
  })

  test.each([
    ['bytes=5000-10000', 2048],
    ['bytes=2048-', 2048],
    ['bytes=500-0', 2048],
    ['bytes=-0', 2048],
    ['bytes=0-', 0],
    ['bytes=-5', 0],
    ['bytes=99999999999999999999-', 2048],
  ])('%s of %i bytes cannot be satisfied', (header, size) => {
    expect(resolveRange(only(header), size)).toBeUndefined()
  })

  test('what is found lies within the blob and within what was asked', () => {
    const bound = fc.nat({ max: 50 })
    fc.assert(
      fc.property(bound, bound, bound, (first, last, size) => {
        const asked = Array.from({ length: size }, (_, at) => at)
        const expectBytes = (header: string, expected: number[]) => {
          const range = resolveRange(only(header), size)
          expect(range ? asked.slice(range.first, range.last + 1) : []).toEqual(expected)
        }
        expectBytes(`bytes=${first}-${last}`, first <= last ? asked.slice(first, last + 1) : [])
        expectBytes(`bytes=${first}-`, asked.slice(first))
        expectBytes(`bytes=-${last}`, last === 0 ? [] : asked.slice(-last))
      }),
    )
  })
})
