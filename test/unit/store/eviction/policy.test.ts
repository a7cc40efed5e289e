import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  arrived,
  lastRank,
  rankOf,
  type Usage,
  used,
  victims,
} from '../../../../src/store/eviction/policy.ts'

const secondMs = 1000
const hourMs = 3_600_000
const dayMs = 24 * hourMs
const MiB = 2 ** 20
const noon = Date.UTC(2026, 0, 1, 12)

/** Used once at each of these times, told or not. */
function history(sizeBytes: number, times: readonly number[]): Usage {
  const [first = 0, ...later] = times
  return later.reduce<Usage>((usage, at) => used(usage, at) ?? usage, arrived(sizeBytes, first))
}

describe('a use', () => {
  test('is not noted again within a minute', () => {
    const usage = arrived(MiB, noon)
    expect(used(usage, noon + 59 * secondMs)).toBeUndefined()
    expect(used(usage, noon + 60 * secondMs)?.usedAt).toBe(noon + 60 * secondMs)
  })

  test('is later, but not one more, within six hours of the last that counted', () => {
    const rollOut = Array.from({ length: 100 }, (_, at) => noon + at * 90 * secondMs)
    expect(history(MiB, rollOut)).toMatchObject({ usedAt: rollOut.at(-1), uses: 1 })
  })

  test('counts every six hours, also when there is never a pause', () => {
    const always = Array.from({ length: 13 * 12 }, (_, at) => noon + at * 5 * 60 * secondMs)
    expect(history(MiB, always).uses).toBe(3)
  })

  test('counts no more after the fourth', () => {
    const days = Array.from({ length: 9 }, (_, at) => noon + at * dayMs)
    expect(history(MiB, days).uses).toBe(4)
  })

  test('is noted at the time of the clock, also when that was set back', () => {
    expect(used(arrived(MiB, noon), noon - 1)).toMatchObject({ usedAt: noon - 1, countedAt: noon - 1 })
  })
})

describe('the first to go', () => {
  test('of blobs used once is the least recently used', () => {
    expect(rankOf(arrived(MiB, noon))).toBeLessThan(rankOf(arrived(900 * MiB, noon + 1)))
  })

  test('is what was used once, rather than what was used four times until a day before', () => {
    const often = history(
      MiB,
      [0, 6, 12, 18].map(hours => noon + hours * hourMs),
    )
    const almostADay = often.usedAt + dayMs - 1
    expect(rankOf(arrived(MiB, almostADay))).toBeLessThan(rankOf(often))
    expect(rankOf(arrived(MiB, almostADay + 2))).toBeGreaterThan(rankOf(often))
  })

  test('is the layer, not its manifest, of an image that is forgotten', () => {
    expect(rankOf(arrived(30 * MiB, noon + 2 * dayMs - 1))).toBeLessThan(rankOf(arrived(2000, noon)))
  })

  test('is whoever is not used for long, however often and however small it was', () => {
    const times = Array.from({ length: 50 }, (_, at) => noon + at * dayMs)
    const forgotten = history(1, times)
    expect(rankOf(arrived(900 * MiB, forgotten.usedAt + 4 * dayMs))).toBeGreaterThan(rankOf(forgotten))
  })

  test('is never made so by a use', () => {
    const uses = fc.array(fc.integer({ min: 0, max: 10 * dayMs }), { minLength: 2, maxLength: 40 })
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 40 }), uses, (sizeBytes, after) => {
        const times = after.map(ms => noon + ms).sort((a, b) => a - b)
        expect(rankOf(history(sizeBytes, times))).toBeGreaterThanOrEqual(
          rankOf(history(sizeBytes, times.slice(0, -1))),
        )
      }),
    )
  })
})

test('no rank is beyond the last, but that of a clock that was ahead', () => {
  const uses = fc.array(fc.integer({ min: 0, max: 10 * dayMs }), { minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 40 }), uses, (sizeBytes, after) => {
      const usage = history(
        sizeBytes,
        after.map(ms => noon + ms).sort((a, b) => a - b),
      )
      expect(rankOf(usage)).toBeLessThanOrEqual(lastRank(usage.usedAt))
    }),
  )
  expect(rankOf(arrived(MiB, noon + 365 * dayMs))).toBeGreaterThan(lastRank(noon))
})

describe('victims', () => {
  const blobs = [3, 5, 7, 9].map(sizeBytes => ({ sizeBytes }))
  const sizes = (bytes: number, stays: (blob: { sizeBytes: number }) => boolean = () => false) =>
    [...victims(blobs, bytes, stays)].map(({ sizeBytes }) => sizeBytes)

  test('are taken in order until there is room', () => {
    expect(sizes(8)).toEqual([3, 5])
    expect(sizes(9)).toEqual([3, 5, 7])
  })

  test('are none when there is room', () => {
    expect(sizes(0)).toEqual([])
  })

  test('are not those who have to stay', () => {
    expect(sizes(8, ({ sizeBytes }) => sizeBytes === 5)).toEqual([3, 7])
  })

  test('are all who can go when that is not enough', () => {
    expect(sizes(100, ({ sizeBytes }) => sizeBytes === 9)).toEqual([3, 5, 7])
  })

  test('are not looked for beyond what is needed', () => {
    let seen = 0
    function* counted() {
      for (const blob of blobs) {
        seen += 1
        yield blob
      }
    }
    expect([...victims(counted(), 3, () => false)]).toHaveLength(1)
    expect(seen).toBe(1)
  })
})
