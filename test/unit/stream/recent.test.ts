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
          const found = Buffer.concat(recent.from(position, count).chunks)
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
    expect(recent.from(0, 10).chunks).toEqual([])
    expect(Buffer.concat(recent.from(100, 10).chunks).toString()).toBe('xyz')
  })

  test('give their memory back when they are past and nobody reads them any more', () => {
    const recent = new Recent(8)
    const chunks = ['aaaa', 'bbbb', 'cccc', 'dddd'].map(text =>
      Buffer.from(new TextEncoder().encode(text).buffer),
    )
    const [a, b, c, d] = chunks
    if (!a || !b || !c || !d) throw new Error('four of them')
    const isBack = (chunk: Buffer) => chunk.buffer.byteLength === 0
    recent.push([a, b], 8)
    const [one, two] = [recent.from(0, 6), recent.from(4, 2)]
    recent.push([c, d], 16)
    expect(chunks.map(isBack)).toEqual([false, false, false, false])
    expect(Buffer.concat(one.chunks).toString()).toBe('aaaabb')
    one.release()
    one.release() // only the first time counts
    expect(chunks.map(isBack)).toEqual([true, false, false, false])
    two.release()
    expect(chunks.map(isBack)).toEqual([true, true, false, false])
    recent.from(8, 8).release()
    expect(chunks.map(isBack)).toEqual([true, true, false, false])
  })
})
