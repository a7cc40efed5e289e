/** How pull times come into the records. */
import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type Pulled, PullNotes } from '../../../src/index/pull-notes.ts'
import { digest, keyOf } from '../../conformance/index-samples.ts'
import { FakeClock } from '../../fake/clock.ts'

const key = keyOf('a', '_local')

function setUp({ write = async () => {} }: { write?: (pull: Pulled) => Promise<void> } = {}) {
  const clock = new FakeClock(1000)
  const written: Pulled[] = []
  const failures: unknown[] = []
  const notes = new PullNotes({
    clock,
    write: async pull => {
      written.push(pull)
      await write(pull)
    },
    failed: error => failures.push(error),
  })
  return { clock, written, failures, notes }
}

test('a flood of pulls is written a few at a time, and what waits at a stop without pauses', async () => {
  const { notes, written } = setUp()
  for (let at = 0; at < 100; at += 1) notes.note(key, digest(String(at)), undefined)
  await setImmediate()
  expect(written.length).toBeLessThan(10)
  await notes.stop()
  expect(written).toHaveLength(100)
  expect(new Set(written.map(({ at }) => at))).toEqual(new Set([1000]))
})

test('a manifest is noted once an hour, whoever knows of its last pull', async () => {
  const { notes, written, clock } = setUp()
  notes.note(key, digest('known'), 999)
  notes.note(key, digest('seen'), undefined)
  notes.note(key, digest('seen'), undefined)
  clock.advance(3_600_000)
  notes.note(key, digest('known'), 999)
  notes.note(key, digest('seen'), undefined)
  await notes.stop()
  expect(written.map(pull => pull.digest)).toEqual([digest('seen'), digest('known'), digest('seen')])
})

test('more pulls than may wait are left to their next pull', async () => {
  const { notes, written } = setUp()
  for (let at = 0; at < 11_000; at += 1) notes.note(key, digest(String(at)), undefined)
  await notes.stop()
  expect(written.length).toBeLessThan(10_010)
})

test('a disk that is slow holds up a stop no longer than two seconds, and one that fails only its own note', async () => {
  const { notes, written, failures, clock } = setUp({
    write: async () => {
      clock.advance(1500)
      throw new Error('broken')
    },
  })
  for (let at = 0; at < 100; at += 1) notes.note(key, digest(String(at)), undefined)
  await notes.stop()
  expect(written.length).toBeLessThan(20)
  expect(failures).toHaveLength(written.length)
})
