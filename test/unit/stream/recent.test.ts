/** What is still in memory of a growing file. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Recent } from '../../../src/stream/recent.ts'

describe('recent bytes', () => {
  test('are the last of the file, from wherever they are asked', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 20 }),
        fc.nat({ max: 60 }),
        fc.nat({ max: 60 }),
        (pushed, back, count) => {
          const recent = new Recent(40)
          const whole = Buffer.concat(pushed)
          let end = 0
          for (const chunk of pushed) {
            end += chunk.length
            recent.push([Buffer.from(chunk)], end)
          }
          const position = Math.max(0, whole.length - back)
          const found = Buffer.concat(recent.from(position, count))
          const expected = whole.subarray(position, position + count)
          expect(found.length === 0 || found.equals(expected)).toBe(true)
          if (back <= 40) expect(found.equals(expected)).toBe(true)
        },
      ),
    )
  })

  test('before a jump are forgotten', () => {
    const recent = new Recent(100)
    recent.push([Buffer.from('abc')], 3)
    recent.push([Buffer.from('xyz')], 103)
    expect(recent.from(0, 10)).toEqual([])
    expect(Buffer.concat(recent.from(100, 10)).toString()).toBe('xyz')
  })
})
