/** A digest is pinned as long as some repository has it pinned. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Pinned } from '../../../src/collect/pinned.ts'
import { type Digest, digestOf } from '../../../src/oci/digest.ts'

const digests = ['a', 'b', 'c', 'd'].map(text => digestOf(Buffer.from(text)))
const repositories = ['one', 'two', 'three']

test('after whatever was set and added, as the sets themselves have it', () => {
  const step = fc.record({
    kind: fc.constantFrom('set', 'add'),
    repository: fc.constantFrom(...repositories),
    given: fc.array(fc.constantFrom(...digests), { maxLength: 4 }),
  })
  fc.assert(
    fc.property(fc.array(step), steps => {
      const pinned = new Pinned()
      const sets = new Map<string, Set<Digest>>()
      for (const { kind, repository, given } of steps) {
        const before = kind === 'add' ? [...(sets.get(repository) ?? [])] : []
        sets.set(repository, new Set([...before, ...given]))
        if (kind === 'add') pinned.add(repository, given)
        else pinned.set(repository, given)
      }
      for (const digest of digests) {
        const holders = repositories.filter(each => sets.get(each)?.has(digest))
        expect(repositories.filter(each => pinned.isOf(each, digest))).toEqual(holders)
        expect(pinned.has(digest)).toBe(holders.length > 0)
      }
    }),
  )
})
