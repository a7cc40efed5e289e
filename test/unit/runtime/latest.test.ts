/** Maps that keep what was used last. */
import { expect, test } from 'vitest'
import { latest } from '../../../src/runtime/latest.ts'

test('what was used longest ago goes when there are more than so many', () => {
  const known = latest<string, number>(2)
  known.set('a', 1).set('b', 2)
  expect(known.get('a')).toBe(1)
  known.set('c', 3)
  expect([known.size, known.get('a'), known.get('b'), known.get('c')]).toEqual([2, 1, undefined, 3])
})
