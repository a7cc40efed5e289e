/** The upload session against its model, for some random histories. */
import fc from 'fast-check'
import { test } from 'vitest'
import { expectUploadModel, uploadHistory } from './upload-model.ts'

test('whatever the order of chunks, mistakes, cuts and restarts: a session is where its model is, and ends as just these bytes', async () => {
  await fc.assert(fc.asyncProperty(uploadHistory, expectUploadModel), { seed: 20_260_101, numRuns: 25 })
})
