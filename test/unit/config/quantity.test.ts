/** Durations and sizes. */
import { assert, maxSafeNat, property } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatDuration, formatSize, parseDuration, parseSize } from '../../../src/config/quantity.ts'

describe('durations', () => {
  test.each([
    ['250ms', 250],
    ['5s', 5_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['7d', 604_800_000],
    ['0s', 0],
    ['0', 0],
    ['forever', Number.POSITIVE_INFINITY],
  ])('%s is %d ms', (text, ms) => expect(parseDuration(text)).toBe(ms))

  test.each([
    '',
    '5',
    '5 m',
    '-5m',
    '1.5h',
    '5M',
    'm',
    '1h30m',
    'constructor',
    '99999999999999999d',
  ])('%j is none', text => expect(parseDuration(text)).toBeUndefined())

  test('what is written is read back', () => {
    assert(property(maxSafeNat(), ms => parseDuration(formatDuration(ms)) === ms))
    expect(formatDuration(Number.POSITIVE_INFINITY)).toBe('forever')
    expect(formatDuration(90_000)).toBe('90s')
  })
})

describe('sizes', () => {
  test.each([
    ['1000', 1000],
    ['0', 0],
    ['7B', 7],
    ['64KiB', 65_536],
    ['4MiB', 4_194_304],
    ['50GiB', 53_687_091_200],
    ['1TiB', 1_099_511_627_776],
  ])('%s is %d bytes', (text, bytes) => expect(parseSize(text)).toBe(bytes))

  test.each(['', '4MB', '4 MiB', '-1', '1.5GiB', 'MiB', '9007199254740993'])('%j is none', text =>
    expect(parseSize(text)).toBeUndefined())

  test('what is written is read back', () => {
    assert(property(maxSafeNat(), bytes => parseSize(formatSize(bytes)) === bytes))
    expect(formatSize(4_194_304)).toBe('4MiB')
  })
})
