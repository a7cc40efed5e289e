import { expect, test } from 'vitest'
import { LeftFiles } from '../../../../src/store/eviction/left-files.ts'

test('a left file counts until it is deleted', async () => {
  const deleting = Promise.withResolvers<void>()
  const left = new LeftFiles(() => deleting.promise)
  left.add('a', 1_000)
  const reclaiming = left.reclaim(1)
  expect(left.bytes).toBe(1_000)
  deleting.resolve()
  expect([await reclaiming, left.bytes]).toEqual([1_000, 0])
})

test('a left file that cannot be deleted goes on counting, and the next goes', async () => {
  const left = new LeftFiles(async path => {
    if (path === 'a') throw new Error('EIO')
  })
  left.add('a', 1_000)
  left.add('b', 500)
  expect([await left.reclaim(100), left.bytes]).toEqual([500, 1_000])
})
