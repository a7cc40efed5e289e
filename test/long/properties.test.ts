/** The properties of every history of pulls, for many random ones. */
import fc from 'fast-check'
import { test } from 'vitest'
import { expectProperties, expectRightOnTinyDisk, history } from '../fault/interleavings.ts'
import { mayMount } from '../fault/mounts.ts'

const seed = Number(process.env.LAYOVER_SEED ?? Date.now() % 2 ** 31)
const runs = Number(process.env.LAYOVER_RUNS ?? 2_000)

/** Of one history; it takes a fraction of a second unless somebody waits for what never comes. */
const timeout = 20_000

test(`${runs} histories (LAYOVER_SEED=${seed}) keep every property`, async () => {
  await fc.assert(fc.asyncProperty(history, expectProperties), {
    seed,
    numRuns: runs,
    timeout,
    endOnFailure: true,
  })
})

test.skipIf(!mayMount)(
  `(as root, who may mount) ${runs} histories (LAYOVER_SEED=${seed}) on a disk too small for the blobs`,
  async () => {
    await fc.assert(fc.asyncProperty(history, expectRightOnTinyDisk), {
      seed,
      numRuns: runs,
      timeout,
      endOnFailure: true,
    })
  },
)
