/** Some histories of scrubs; `LAYOVER_RUNS` makes it more. */
import fc from 'fast-check'
import { test } from 'vitest'
import { runs } from '../../support/runs.ts'
import { expectScrubModel, scrubHistory } from './scrub-model.ts'

test('whatever comes between the steps of a scrub, what is sound stays and what has rotted goes', {
  timeout: 120_000,
}, async () => {
  await fc.assert(fc.asyncProperty(scrubHistory, expectScrubModel), {
    ...runs(20),
    endOnFailure: true, // shrinking is of no use where the outcome hangs on the moment
  })
})
