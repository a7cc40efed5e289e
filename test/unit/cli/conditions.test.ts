import { describe, expect, test } from 'vitest'
import { assertElectable, assertKeepsTags } from '../../../src/cli/conditions.ts'
import { ObjectsFailure } from '../../../src/store/objects.ts'
import { StoreUnusable } from '../../../src/store/unusable.ts'
import { MemoryObjects } from '../../support/memory-objects.ts'

/** That conditions are kept to is known once it was probed. */
function bucket(isConditional: boolean) {
  const objects = {
    ...new MemoryObjects().client(),
    name: 's3://images',
    isConditional: false,
    async probe() {
      objects.isConditional = isConditional
    },
  }
  return objects
}

const gone = {
  ...bucket(false),
  probe: () => Promise.reject(new ObjectsFailure('unreachable', 'ECONNREFUSED')),
}
const plain = { match: 'local/**', immutableTags: [] }
const releases = { match: 'releases/**', immutableTags: ['v*'] }

describe('immutable tags of several replicas', () => {
  test('are refused where the bucket takes no conditional writes, with what to do', async () => {
    const refused = assertKeepsTags(bucket(false), [plain, releases])
    await expect(refused).rejects.toThrow(StoreUnusable)
    await expect(refused).rejects.toThrow(
      /^s3:\/\/images takes no conditional writes.*remove `immutableTags` from releases\/\*\*, or `replica`/,
    )
  })

  test.each([
    ['the bucket takes conditional writes', bucket(true), [releases]],
    ['no tag is immutable', bucket(false), [plain]],
    ['nobody can tell at the moment', gone, [releases]],
  ])('are taken where %s', async (_, objects, local) => {
    await assertKeepsTags(objects, local)
  })
})

test('an owner is elected only over a bucket that takes conditional writes', async () => {
  await expect(assertElectable(bucket(false))).rejects.toThrow('set `replica.owner`')
  await assertElectable(bucket(true))
  await assertElectable(gone)
})
