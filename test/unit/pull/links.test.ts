/** When clients are sent to the object store, and when it is not even asked. */
import { expect, test } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { Links } from '../../../src/pull/links.ts'

const digest = digestOf(Buffer.from('blob'))
const whole = { ranges: undefined, size: 4 }
const first = { kind: 'closed', first: 0, last: 1 } as const

function links({ isFlying = false } = {}) {
  const asked: string[] = []
  const link = async (area: string) => {
    asked.push(area)
    return { url: 'http://bucket.test/blob', size: 4 }
  }
  const store = { shared: { bytes: { link } } } as unknown as ConstructorParameters<typeof Links>[0]
  const flights = { find: () => (isFlying ? {} : undefined) } as unknown as ConstructorParameters<
    typeof Links
  >[1]
  return { asked, links: new Links(store, flights) }
}

test('a blob is read there whole, or one range of it', async () => {
  const at = links()
  expect(await at.links.find('pushed', digest, whole)).toMatchObject({ url: 'http://bucket.test/blob' })
  expect(await at.links.find('cached', digest, { ...whole, ranges: [first] })).toBeDefined()
  expect(at.asked).toEqual(['pushed', 'cached'])
})

test('several ranges, and what is on its way here, are given from here without asking', async () => {
  const still = links()
  expect(await still.links.find('pushed', digest, { ...whole, ranges: [first, first] })).toBeUndefined()
  const flying = links({ isFlying: true })
  expect(await flying.links.find('cached', digest, whole)).toBeUndefined()
  expect([still.asked, flying.asked]).toEqual([[], []])
})
