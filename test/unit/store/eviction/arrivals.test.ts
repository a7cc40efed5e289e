import { expect, test } from 'vitest'
import { type Digest, digestOf } from '../../../../src/oci/digest.ts'
import { Arrivals } from '../../../../src/store/eviction/arrivals.ts'

const digest = digestOf(Buffer.from('it'))

function rig() {
  const here = new Set<Digest>()
  const missing: Digest[] = []
  const arrivals = new Arrivals({
    isThere: async each => here.has(each),
    missing: each => void missing.push(each),
  })
  return { arrivals, here, missing }
}

test('a file that failed to come loses its row', async () => {
  const { arrivals, missing } = rig()
  await expect(arrivals.bring(digest, () => Promise.reject(new Error('ENOSPC')))).rejects.toThrow('ENOSPC')
  expect([missing, arrivals.has(digest)]).toEqual([[digest], false])
})

test('a file that failed when it had its name already keeps its row', async () => {
  const { arrivals, here, missing } = rig()
  const naming = async () => {
    here.add(digest)
    throw new Error('the folder is not synced')
  }
  await expect(arrivals.bring(digest, naming)).rejects.toThrow('not synced')
  expect(missing).toEqual([])
})

test('who fails takes no row from who brings the same file', async () => {
  const { arrivals, here, missing } = rig()
  const other = Promise.withResolvers<void>()
  const bringing = arrivals.bring(digest, () => other.promise)
  await expect(arrivals.bring(digest, () => Promise.reject(new Error('ENOSPC')))).rejects.toThrow('ENOSPC')
  expect(missing).toEqual([])
  here.add(digest)
  other.resolve()
  await bringing
  expect([missing, arrivals.has(digest)]).toEqual([[], false])
})

test('a file that is deleted as soon as it has its name loses its row', async () => {
  const { arrivals, missing } = rig()
  await arrivals.bring(digest, async () => arrivals.gone(digest))
  expect(missing).toEqual([digest])
  arrivals.gone(digest)
  expect(missing).toEqual([digest, digest])
})

test('a disk that does not tell whether the file is there leaves the row', async () => {
  const missing: Digest[] = []
  const isThere = () => Promise.reject(new Error('EIO'))
  const arrivals = new Arrivals({ isThere, missing: each => void missing.push(each) })
  await arrivals.bring(digest, async () => arrivals.gone(digest))
  expect([missing, arrivals.has(digest)]).toEqual([[], false])
})
