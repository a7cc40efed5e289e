/** The filter of what is needed. */
import { expect, test } from 'vitest'
import { Marks } from '../../../src/collect/marks.ts'
import { digestOf } from '../../../src/oci/digest.ts'

const count = 20_000
const digests = (kind: string) =>
  Array.from({ length: count }, (_, nth) => digestOf(Buffer.from(`${kind} ${nth}`)))

test('knows every member, and takes few others for one: not the same the next time', () => {
  const filters = [new Marks(count), new Marks(count)]
  for (const digest of digests('member')) for (const filter of filters) filter.add(digest)
  for (const filter of filters) expect(digests('member').every(digest => filter.has(digest))).toBe(true)
  const mistaken = filters.map(filter => digests('other').filter(digest => filter.has(digest)))
  for (const some of mistaken) expect(some.length).toBeLessThan(count / 200)
  expect(mistaken[0]?.filter(digest => mistaken[1]?.includes(digest)).length).toBeLessThan(3)
})

test('of more than was expected, and of nothing, it forgets none', () => {
  const small = new Marks(0)
  for (const digest of digests('member')) small.add(digest)
  expect(digests('member').every(digest => small.has(digest))).toBe(true)
  expect(digests('member').some(digest => new Marks(0).has(digest))).toBe(false)
})
