/** What upstream does not have is remembered for a moment, whatever happens to the clock. */
import { expect, test } from 'vitest'
import { Absences } from '../../../../src/pull/manifests/absences.ts'
import { UpstreamError } from '../../../../src/upstream/upstream-error.ts'
import { FakeClock } from '../../../fake/clock.ts'

class SetBackClock extends FakeClock {
  backMs = 0
  override now(): number {
    return super.now() - this.backMs
  }
}

test('an absence ends in time although the clock was set back', async () => {
  const clock = new SetBackClock()
  const absences = new Absences(clock)
  const missing = () => Promise.reject(new UpstreamError('a', 'not-found', 'none'))
  await expect(absences.guard('key', 1_000, missing)).rejects.toThrow('none')
  expect(() => absences.check('key')).toThrow('none')
  clock.backMs = 86_400_000
  clock.advance(1_000)
  expect(() => absences.check('key')).not.toThrow()
})
