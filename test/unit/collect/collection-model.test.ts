/** Some histories of collections; `npm run test:long` has many. */
import fc from 'fast-check'
import { test } from 'vitest'
import { runs } from '../../support/runs.ts'
import { collectionHistory, expectCollectionModel } from './collection-model.ts'

test('whatever comes between the steps of a collection, nothing that is needed goes and everything else does', {
  timeout: 120_000,
}, async () => {
  await fc.assert(fc.asyncProperty(collectionHistory, expectCollectionModel), {
    ...runs(25),
    endOnFailure: true, // shrinking is of no use where the outcome hangs on the moment
  })
})
