/** Repositories under several clients at once against their model, for some random histories. */
import fc from 'fast-check'
import { test } from 'vitest'
import { expectRepositoryModel, repositoryHistory } from './repository-model.ts'

test('concurrent pushes, mounts and deletes end as some order of them would, and tags, manifests, blobs and referrers agree', async () => {
  // Shrinking is of no use where the outcome hangs on the moment.
  const runs = { seed: 20_260_101, numRuns: 15, endOnFailure: true }
  await fc.assert(fc.asyncProperty(repositoryHistory, expectRepositoryModel), runs)
})
