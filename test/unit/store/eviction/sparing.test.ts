import { expect, test } from 'vitest'
import { Sparing } from '../../../../src/store/eviction/sparing.ts'
import { FakeClock } from '../../../fake/clock.ts'

test('what took a second of no use is spared for ten, by whom and for as much as it was', () => {
  const clock = new FakeClock()
  const sparing = new Sparing<string>(clock)
  const since = clock.monotonic()
  clock.advance(1_000)
  sparing.was('a', since, 500)
  expect([sparing.has('a', 500), sparing.has('a', 499), sparing.has('b', 500)]).toEqual([true, false, false])
  clock.advance(9_999)
  expect(sparing.has('a', 600)).toBe(true)
  clock.advance(1)
  expect(sparing.has('a', 600)).toBe(false)
})
