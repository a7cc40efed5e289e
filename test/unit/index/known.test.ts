/** What a process without records knows: what the index says, and else that it does not know. */
import { describe, expect, test } from 'vitest'
import { Known, NotKnown } from '../../../src/index/known.ts'
import { createMemoryIndex } from '../../../src/index/rows/memory.ts'
import type { Tag } from '../../../src/oci/name.ts'
import {
  digest,
  everything,
  keyOf,
  manifestEntry,
  referrer,
  tagged,
} from '../../conformance/index-samples.ts'
import { FakeClock } from '../../fake/clock.ts'

const key = keyOf('team/app', '_local')
const latest = 'latest' as Tag
const subject = digest('subject')

function setUp() {
  const index = createMemoryIndex()
  const clock = new FakeClock()
  const pulls: string[] = []
  const pulled = ({ repository }: typeof key, of: string) => pulls.push(`${repository} ${of}`)
  return { index, clock, pulls, known: new Known({ index, clock, pulled }) }
}

describe('known', () => {
  test('what the index never heard of is not known, and neither is whether a repository is empty', async () => {
    const { known } = setUp()
    for (const asked of [
      known.tag(key, latest),
      known.manifest(key, subject),
      known.blob(key, subject),
      known.tags(key, everything),
      known.referrers(key, subject, everything),
      known.exists(key),
    ])
      await expect(asked).rejects.toBeInstanceOf(NotKnown)
    expect(await known.childSize(key, subject)).toBeUndefined()
  })

  test('what the index has is given as it is', async () => {
    const { index, known } = setUp()
    await index.putTag(key, latest, tagged('a'))
    await index.putManifest(key, digest('m'), manifestEntry())
    await index.putBlob(key, digest('b'), { size: 7, isPublic: false })
    await index.putChildren(key, digest('m'), [referrer('child')])
    await index.putReferrer(key, subject, referrer('r'))
    await index.markComplete(key, 'tags')
    await index.markComplete(key, { referrersOf: subject })
    expect(await known.tag(key, latest)).toEqual(tagged('a'))
    expect(await known.manifest(key, digest('m'))).toEqual(manifestEntry())
    expect(await known.blob(key, digest('b'))).toEqual({ size: 7, isPublic: false })
    expect(await known.childSize(key, digest('child'))).toBe('child'.length)
    expect(await known.tags(key, everything)).toEqual(['latest'])
    expect(await known.referrers(key, subject, everything)).toEqual([referrer('r')])
  })

  test('what the index knows not to be there is absent', async () => {
    const { index, known } = setUp()
    for (const listing of ['tags', 'manifests', 'blobs', 'referrers'] as const)
      await index.markComplete(key, listing)
    expect(await known.tag(key, latest)).toBeUndefined()
    expect(await known.manifest(key, subject)).toBeUndefined()
    expect(await known.blob(key, subject)).toBeUndefined()
    expect(await known.tags(key, everything)).toEqual([])
    expect(await known.referrers(key, subject, everything)).toEqual([])
  })

  test('a pull is told once an hour for each manifest', () => {
    const { known, clock, pulls } = setUp()
    known.notePull(key, subject)
    expect(pulls).toEqual([`team/app ${subject}`])
    known.notePull(key, subject)
    known.notePull(key, digest('other'))
    expect(pulls).toEqual([`team/app ${subject}`, `team/app ${digest('other')}`])
    clock.advance(3_600_000)
    known.notePull(key, subject)
    expect(pulls).toHaveLength(3)
  })
})
