/** The properties of every history of pulls, for some short random ones. */
import fc from 'fast-check'
import { test } from 'vitest'
import { expectProperties, expectRightOnTinyDisk, history } from './interleavings.ts'
import { mayMount } from './mounts.ts'

/** Of one history; it takes a fraction of a second unless somebody waits for what never comes. */
const timeout = 20_000

// Shrinking is of no use where the outcome hangs on the moment.
const runs = { seed: 20_260_101, timeout, endOnFailure: true }

test('whatever the order of readers, ranges, departures and faults: right bytes or none, one fetch, no secret abroad, and all of it without upstream', async () => {
  await fc.assert(fc.asyncProperty(history, expectProperties), { ...runs, numRuns: 15 })
})

test.skipIf(!mayMount)(
  '(as root, who may mount) on a disk too small for the blobs: right bytes or none, and all of it while upstream is there',
  async () => {
    await fc.assert(fc.asyncProperty(history, expectRightOnTinyDisk), { ...runs, numRuns: 12 })
  },
)
