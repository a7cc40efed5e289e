/** Entries as bytes: whatever goes in comes out, digests keep their order, and what is torn is told apart. */
import {
  assert,
  bigInt,
  boolean,
  constantFrom,
  dictionary,
  nat,
  option,
  property,
  record,
  string,
  uint8Array,
} from 'fast-check'
import { expect, test } from 'vitest'
import {
  Damaged,
  hintBytes,
  hintOf,
  packBlob,
  packDigest,
  packManifest,
  packNumbers,
  packTag,
  unpackBlob,
  unpackDigest,
  unpackManifest,
  unpackNumber,
  unpackTag,
} from '../../../src/index/redis/codec.ts'
import { digestOf } from '../../../src/oci/digest.ts'
import { mediaTypes } from '../../../src/oci/media-type.ts'

const maybe = <T>(value: Parameters<typeof option<T>>[0]) => option(value, { nil: undefined })
const digests = record({ seed: string(), algorithm: constantFrom('sha256' as const, 'sha512' as const) }).map(
  ({ seed, algorithm }) => digestOf(Buffer.from(seed), algorithm),
)
const types = constantFrom<string>(...Object.values(mediaTypes), 'application/x-other', '', 'é🙂')
const amounts = bigInt({ min: 0n, max: BigInt(Number.MAX_SAFE_INTEGER) }).map(Number)
const times = nat({ max: 2 ** 31 }).map(seconds => seconds * 1000)

test('tags', () => {
  const entries = record({
    digest: digests,
    mediaType: types,
    size: maybe(amounts),
    movedAt: times,
    checkedAt: times,
    missingSince: maybe(times),
  })
  assert(property(entries, entry => void expect(unpackTag(packTag(entry))).toEqual(entry)))
})

test('manifests', () => {
  const entries = record({
    mediaType: types,
    size: amounts,
    artifactType: maybe(types),
    subject: maybe(digests),
    annotations: maybe(dictionary(string(), string(), { noNullPrototype: true })),
    at: times,
    pulledAt: maybe(times),
    isPublic: boolean(),
  })
  assert(property(entries, entry => void expect(unpackManifest(packManifest(entry))).toEqual(entry)))
})

test('blobs and numbers', () => {
  const entries = record({ size: maybe(amounts), isPublic: boolean() })
  assert(property(entries, entry => void expect(unpackBlob(packBlob(entry))).toEqual(entry)))
  const numbers = bigInt({ min: BigInt(Number.MIN_SAFE_INTEGER), max: BigInt(Number.MAX_SAFE_INTEGER) }).map(
    Number,
  )
  assert(property(numbers, number => void expect(unpackNumber(packNumbers(number))).toBe(number)))
})

test('digests keep the order of their texts, whatever stands behind them', () => {
  assert(
    property(digests, digests, uint8Array(), (a, b, rest) => {
      const packed = Buffer.concat([packDigest(a), rest])
      expect(unpackDigest(packed)).toEqual({ digest: a, rest: Buffer.from(rest) })
      expect(Buffer.compare(packDigest(a), packDigest(b)) < 0).toBe(a < b)
      expect(hintOf(a)).toEqual(packDigest(a).subarray(0, hintBytes))
    }),
  )
})

test('a tag of usual length and its entry stay below 64 bytes', () => {
  const entry = {
    digest: digestOf(Buffer.from('m')),
    mediaType: mediaTypes.ociIndex,
    size: 9_218,
    movedAt: Date.UTC(2026, 10, 1),
    checkedAt: Date.UTC(2026, 10, 21, 7, 3),
    missingSince: undefined,
  }
  expect('t3.20.3-alpine'.length + 1 + packTag(entry).length).toBeLessThanOrEqual(64)
})

test('what is cut short is damaged', () => {
  const whole = packTag({
    digest: digestOf(Buffer.from('m')),
    mediaType: 'application/x-other',
    size: 1,
    movedAt: 1,
    checkedAt: 2,
    missingSince: 3,
  })
  for (let length = 0; length < 40; length += 1)
    expect(() => unpackTag(whole.subarray(0, length))).toThrow(Damaged)
  expect(() => unpackTag(Buffer.from([9, ...whole]))).toThrow(Damaged)
})
