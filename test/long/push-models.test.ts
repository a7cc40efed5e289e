/** The models of uploads and of repositories, for many random histories. */
import fc from 'fast-check'
import { test } from 'vitest'
import { expectRepositoryModel, repositoryHistory } from '../fault/push/repository-model.ts'
import { expectUploadModel, uploadHistory } from '../fault/push/upload-model.ts'

const seed = Number(process.env.LAYOVER_SEED ?? Date.now() % 2 ** 31)
const numRuns = Number(process.env.LAYOVER_RUNS ?? 2_000)

test(`${numRuns} histories of uploads (LAYOVER_SEED=${seed}) go as their model`, async () => {
  await fc.assert(fc.asyncProperty(uploadHistory, expectUploadModel), { seed, numRuns })
})

test(`${numRuns} histories of repositories (LAYOVER_SEED=${seed}) can be explained`, async () => {
  // Shrinking is of no use where the outcome hangs on the moment.
  await fc.assert(fc.asyncProperty(repositoryHistory, expectRepositoryModel), {
    seed,
    numRuns,
    endOnFailure: true,
  })
})
