/** What every index promises (src/index/index.ts), to be run against each implementation. */
import { describe, expect, test } from 'vitest'
import type { BlobEntry, Index, Listing, RepositoryKey } from '../../src/index/index.ts'
import type { ExpendableLimits } from '../../src/index/rows/rows.ts'
import type { Descriptor } from '../../src/oci/manifest.ts'
import type { Tag } from '../../src/oci/name.ts'
import { localEntries, relations, repositories } from './index-local.ts'
import { digest, everything, keyOf, manifestEntry, referrer, tagged } from './index-samples.ts'

/** Where an index keeps its rows. Opening again after a close finds what was there, if the place lasts. */
export interface IndexPlace extends AsyncDisposable {
  readonly lasts: boolean
  open(expendable?: ExpendableLimits): Promise<Index>
  /** As `open`, after a crash that lost nothing of what was flushed. */
  openCrashed(): Promise<Index>
}

const tag = (text: string) => text as Tag

const alpine = keyOf('library/alpine')
const unknown = { answer: 'unknown' }
const absent = { answer: 'absent' }
const present = (value: unknown) => ({ answer: 'present', value })

export function indexConformance(name: string, createPlace: () => Promise<IndexPlace>) {
  const withIndex = (about: string, check: (index: Index, place: IndexPlace) => Promise<void>) =>
    test(about, async () => {
      await using place = await createPlace()
      const index = await place.open()
      await check(index, place)
      await index.close()
    })

  describe(`index: ${name}`, () => {
    threeAnswers(withIndex)
    pages(withIndex)
    referrersOf(withIndex)
    publicBlobs(withIndex)
    listings(withIndex, createPlace)
    lasting(withIndex)
    relations(withIndex)
    repositories(withIndex)
    localEntries(withIndex)
  })
}

export type WithIndex = (about: string, check: (index: Index, place: IndexPlace) => Promise<void>) => void

interface EntryKind {
  readonly listing: Listing
  put(index: Index, key: RepositoryKey): Promise<void>
  drop(index: Index, key: RepositoryKey): Promise<void>
  get(index: Index, key: RepositoryKey): Promise<unknown>
  readonly value: unknown
  /** What is answered under the mark when there is nothing. */
  readonly none: unknown
}

const kinds: readonly EntryKind[] = [
  {
    listing: 'tags',
    put: (index, key) => index.putTag(key, tag('latest'), tagged('a')),
    drop: (index, key) => index.dropTag(key, tag('latest')),
    get: (index, key) => index.tag(key, tag('latest')),
    value: tagged('a'),
    none: absent,
  },
  {
    listing: 'manifests',
    put: (index, key) => index.putManifest(key, digest('m'), manifestEntry()),
    drop: (index, key) => index.dropManifest(key, digest('m')),
    get: (index, key) => index.manifest(key, digest('m')),
    value: manifestEntry(),
    none: absent,
  },
  {
    listing: 'blobs',
    put: (index, key) => index.putBlob(key, digest('b'), { size: 7, isPublic: true }),
    drop: (index, key) => index.dropBlob(key, digest('b')),
    get: (index, key) => index.blob(key, digest('b')),
    value: { size: 7, isPublic: true },
    none: absent,
  },
  {
    listing: 'referrers',
    put: async (index, key) => {
      await index.markComplete(key, 'referrers')
      await index.putReferrer(key, digest('s'), referrer('r'))
    },
    drop: (index, key) => index.dropReferrer(key, digest('s'), digest('r')),
    get: (index, key) => index.referrers(key, digest('s'), everything),
    value: [referrer('r')],
    none: present([]),
  },
]

function threeAnswers(withIndex: WithIndex) {
  for (const kind of kinds) {
    withIndex(
      `${kind.listing}: what was never heard of is unknown, and known to be none under the mark`,
      async index => {
        expect(await kind.get(index, alpine)).toEqual(unknown)
        await index.markComplete(alpine, kind.listing)
        expect(await kind.get(index, alpine)).toEqual(kind.none)
      },
    )

    withIndex(`${kind.listing}: what was put is present at once and after a flush`, async index => {
      await kind.put(index, alpine)
      expect(await kind.get(index, alpine)).toEqual(present(kind.value))
      await index.flush()
      expect(await kind.get(index, alpine)).toEqual(present(kind.value))
    })

    withIndex(
      `${kind.listing}: what was dropped is known to be gone under the mark, flushed or not`,
      async index => {
        await kind.put(index, alpine)
        await index.flush()
        await index.markComplete(alpine, kind.listing)
        await kind.drop(index, alpine)
        expect(await kind.get(index, alpine)).toEqual(kind.none)
        await index.flush()
        expect(await kind.get(index, alpine)).toEqual(kind.none)
      },
    )

    withIndex(`${kind.listing}: a mark speaks of one listing of one repository`, async index => {
      for (const other of kinds) {
        if (other !== kind) await index.markComplete(alpine, other.listing)
      }
      for (const near of [
        keyOf('library'),
        keyOf('library/alpine/git'),
        keyOf('library/alpine', 'ghcr.io'),
      ]) {
        await index.markComplete(near, kind.listing)
      }
      expect(await kind.get(index, alpine)).toEqual(unknown)
    })

    withIndex(
      `${kind.listing}: repositories and registries with alike names know nothing of each other`,
      async index => {
        const near = ['a/b', 'a-b', 'a.b', 'a__b', 'ab', 'b/a', 'a/b/a'].map(name => keyOf(name))
        near.push(keyOf('a', 'ghcr.io'), keyOf('a', 'docker.io:443'), keyOf('a', '_local'))
        await kind.put(index, keyOf('a'))
        for (const key of near) expect(await kind.get(index, key)).toEqual(unknown)
        for (const key of near) await kind.drop(index, key)
        expect(await kind.get(index, keyOf('a'))).toEqual(present(kind.value))
      },
    )
  }

  withIndex('a dropped tag is unknown without the mark', async index => {
    await index.putTag(alpine, tag('latest'), tagged('a'))
    await index.dropTag(alpine, tag('latest'))
    expect(await index.tag(alpine, tag('latest'))).toEqual(unknown)
  })

  withIndex('the last write of an entry is the one that is read', async index => {
    await index.putTag(alpine, tag('latest'), tagged('a'))
    await index.flush()
    const moved = tagged('b', { size: undefined, missingSince: 1_700_000_400_000 })
    await index.putTag(alpine, tag('latest'), moved)
    expect(await index.tag(alpine, tag('latest'))).toEqual(present(moved))
    await index.dropTag(alpine, tag('latest'))
    await index.putTag(alpine, tag('latest'), tagged('c'))
    expect(await index.tag(alpine, tag('latest'))).toEqual(present(tagged('c')))
  })

  withIndex('every field of an entry comes back as it was put', async index => {
    const whole = manifestEntry({
      artifactType: 'application/vnd.example+json',
      subject: digest('subject'),
      annotations: { 'org.opencontainers.image.title': '日本 \u0000 \\ " 🙂', empty: '' },
      isPublic: true,
      size: Number.MAX_SAFE_INTEGER,
    })
    await index.putManifest(alpine, digest('m'), whole)
    await index.flush()
    expect(await index.manifest(alpine, digest('m'))).toEqual(present(whole))
  })
}

/** Byte order, as `LC_ALL=C sort` gives it. */
const inByteOrder = [
  '-',
  '.',
  '0',
  '1.10',
  '1.9',
  '1.9-rc',
  'A',
  'Z',
  '_',
  '_a',
  'a',
  'a-',
  'a.b',
  'a_b',
  'aa',
  'z',
]

function pages(withIndex: WithIndex) {
  const pageOf = (index: Index, last: string | undefined, limit: number) =>
    index.tags(alpine, { last, limit })

  withIndex('tags are unknown as a list until they are complete', async index => {
    await index.putTag(alpine, tag('latest'), tagged('a'))
    expect(await pageOf(index, undefined, 10)).toEqual(unknown)
    await index.markComplete(alpine, 'tags')
    expect(await pageOf(index, undefined, 10)).toEqual(present(['latest']))
  })

  withIndex('a complete list without tags is present and empty', async index => {
    await index.markComplete(alpine, 'tags')
    expect(await pageOf(index, undefined, 10)).toEqual(present([]))
  })

  for (const flushed of [true, false]) {
    withIndex(
      `tags come in byte order, in pages (${flushed ? 'flushed' : 'partly flushed'})`,
      async index => {
        for (const [at, text] of inByteOrder.toReversed().entries()) {
          await index.putTag(alpine, tag(text), tagged(text))
          if (flushed || at === 7) await index.flush()
        }
        await index.markComplete(alpine, 'tags')
        expect(await pageOf(index, undefined, 100)).toEqual(present(inByteOrder))
        for (const [at, last] of inByteOrder.entries()) {
          expect(await pageOf(index, last, 3)).toEqual(present(inByteOrder.slice(at + 1, at + 4)))
        }
      },
    )
  }

  withIndex('a page begins after `last` whether or not such a tag exists', async index => {
    for (const text of ['a', 'c', 'e']) await index.putTag(alpine, tag(text), tagged(text))
    await index.markComplete(alpine, 'tags')
    expect(await pageOf(index, 'b', 1)).toEqual(present(['c']))
    expect(await pageOf(index, 'C', 1)).toEqual(present(['a']))
    expect(await pageOf(index, 'e', 1)).toEqual(present([]))
    expect(await pageOf(index, '', 9)).toEqual(present(['a', 'c', 'e']))
    expect(await pageOf(index, 'c\u0000é🙂', 9)).toEqual(present(['e']))
    expect(await pageOf(index, '%', 9)).toEqual(present(['a', 'c', 'e']))
  })

  withIndex('a page of nothing is empty', async index => {
    await index.putTag(alpine, tag('a'), tagged('a'))
    await index.markComplete(alpine, 'tags')
    expect(await pageOf(index, undefined, 0)).toEqual(present([]))
  })

  withIndex('dropped tags leave no gap in a page', async index => {
    const names = Array.from({ length: 30 }, (_, at) => `v${String(at).padStart(2, '0')}`)
    for (const name of names) await index.putTag(alpine, tag(name), tagged(name))
    await index.flush()
    for (const name of names.slice(0, 20)) await index.dropTag(alpine, tag(name))
    await index.putTag(alpine, tag('v25'), tagged('moved'))
    await index.markComplete(alpine, 'tags')
    expect(await pageOf(index, undefined, 7)).toEqual(present(names.slice(20, 27)))
  })
}

function referrersOf(withIndex: WithIndex) {
  const subject = digest('subject')
  const byDigest = (a: Descriptor, b: Descriptor) => (a.digest < b.digest ? -1 : 1)

  withIndex('referrers are unknown until they are complete, though some were put', async index => {
    await index.putReferrer(alpine, subject, referrer('a'))
    expect(await index.referrers(alpine, subject, everything)).toEqual(unknown)
  })

  withIndex('referrers stand under their own subject', async index => {
    await index.markComplete(alpine, 'referrers')
    for (const content of ['a', 'b']) await index.putReferrer(alpine, subject, referrer(content))
    await index.putReferrer(alpine, digest('other'), referrer('c'))
    expect(await index.referrers(alpine, subject, everything)).toEqual(
      present([referrer('a'), referrer('b')].sort(byDigest)),
    )
    await index.flush()
    await index.dropReferrer(alpine, subject, digest('a'))
    expect(await index.referrers(alpine, subject, everything)).toEqual(present([referrer('b')]))
    expect(await index.referrers(alpine, digest('other'), everything)).toEqual(present([referrer('c')]))
  })

  withIndex('a referrer put twice is listed once, as it was put last', async index => {
    await index.markComplete(alpine, 'referrers')
    await index.putReferrer(alpine, subject, referrer('a'))
    await index.flush()
    const again: Descriptor = { ...referrer('a'), annotations: {} }
    await index.putReferrer(alpine, subject, again)
    expect(await index.referrers(alpine, subject, everything)).toEqual(present([again]))
  })
}

function publicBlobs(withIndex: WithIndex) {
  const blob = digest('blob')
  const entry = (size: number | undefined, isPublic: boolean): BlobEntry => ({ size, isPublic })

  withIndex('a public blob is found in whichever repository of its registry', async index => {
    await index.putBlob(keyOf('a'), blob, entry(5, false))
    expect(await index.publicBlob('docker.io', blob)).toBeUndefined()
    await index.putBlob(keyOf('b'), blob, entry(5, true))
    expect(await index.publicBlob('docker.io', blob)).toEqual(entry(5, true))
    expect(await index.publicBlob('ghcr.io', blob)).toBeUndefined()
    expect(await index.publicBlob('docker.io', digest('other'))).toBeUndefined()
  })

  withIndex('a public blob stays found until its last repository drops it', async index => {
    for (const name of ['a', 'b']) await index.putBlob(keyOf(name), blob, entry(5, true))
    await index.flush()
    await index.dropBlob(keyOf('a'), blob)
    expect(await index.publicBlob('docker.io', blob)).toEqual(entry(5, true))
    await index.dropBlob(keyOf('b'), blob)
    expect(await index.publicBlob('docker.io', blob)).toBeUndefined()
  })

  withIndex('a blob that is put again as not public is no longer found as such', async index => {
    await index.putBlob(keyOf('a'), blob, entry(undefined, true))
    await index.putBlob(keyOf('a'), blob, entry(undefined, false))
    expect(await index.publicBlob('docker.io', blob)).toBeUndefined()
    expect(await index.blob(keyOf('a'), blob)).toEqual(present(entry(undefined, false)))
  })

  withIndex('children are known in their own repository only, with their sizes', async index => {
    await index.putChildren(keyOf('a'), digest('m'), [])
    await index.putChildren(keyOf('a'), digest('m'), [referrer('layer'), referrer('config')])
    await index.putChildren(keyOf('a'), digest('m'), [{ ...referrer('layer'), size: 0 }])
    expect(await index.childSize(keyOf('a'), digest('layer'))).toBe(0)
    await index.flush()
    expect(await index.childSize(keyOf('a'), digest('config'))).toBe('config'.length)
    expect(await index.childSize(keyOf('a'), digest('other'))).toBeUndefined()
    expect(await index.childSize(keyOf('a/b'), digest('config'))).toBeUndefined()
    expect(await index.childSize(keyOf('a', 'ghcr.io'), digest('config'))).toBeUndefined()
  })
}

function listings(withIndex: WithIndex, createPlace: () => Promise<IndexPlace>) {
  const fetched = (body: string, fetchedAt: number) => ({ body, fetchedAt })

  withIndex('a listing is kept by repository, kind and query, and replaced', async index => {
    await index.putListing(alpine, 'tags', '', fetched('{"tags":[]}', 1))
    await index.putListing(alpine, 'tags', '?n=2&last=é b', fetched('page', 2))
    expect(await index.listing(alpine, 'tags', '')).toEqual(fetched('{"tags":[]}', 1))
    expect(await index.listing(alpine, 'tags', '?n=2&last=é b')).toEqual(fetched('page', 2))
    expect(await index.listing(alpine, 'referrers', '')).toBeUndefined()
    expect(await index.listing(keyOf('library'), 'tags', '')).toBeUndefined()
    await index.flush()
    await index.putListing(alpine, 'tags', '', fetched('new', 3))
    expect(await index.listing(alpine, 'tags', '')).toEqual(fetched('new', 3))
  })

  const kept = async (index: Index, count: number) => {
    const found = await Promise.all(
      Array.from({ length: count }, (_, at) => index.listing(alpine, 'tags', String(at))),
    )
    return found.flatMap((entry, at) => (entry ? [at] : []))
  }

  for (const [about, limits, size, left] of [
    ['number', { rows: 3, bytes: 1e6 }, 1, [7, 8, 9]],
    ['bytes', { rows: 1000, bytes: 500 }, 200, [8, 9]],
  ] as const) {
    test(`listings are bounded in ${about}, and the oldest go first`, async () => {
      await using place = await createPlace()
      const index = await place.open(limits)
      await index.putTag(alpine, tag('latest'), tagged('a'))
      for (let at = 0; at < 10; at += 1) {
        await index.putListing(alpine, 'tags', String(at), fetched('x'.repeat(size), at))
      }
      await index.flush()
      expect(await kept(index, 10)).toEqual(left)
      expect(await index.tag(alpine, tag('latest'))).toEqual(present(tagged('a')))
      await index.close()
    })
  }
}

function lasting(withIndex: WithIndex) {
  withIndex(
    'after a close everything is found again, the marks too, if the place lasts',
    async (index, place) => {
      for (const kind of kinds) await kind.put(index, alpine)
      for (const kind of kinds) await index.markComplete(alpine, kind.listing)
      await index.putChildren(alpine, digest('m'), [referrer('child')])
      await index.putListing(alpine, 'tags', 'n=1', { body: 'x', fetchedAt: 1 })
      await index.close()
      if (!place.lasts) return
      const again = await place.open()
      for (const kind of kinds) expect(await kind.get(again, alpine)).toEqual(present(kind.value))
      expect(await again.tag(alpine, tag('other'))).toEqual(absent)
      expect(await again.tags(alpine, { last: undefined, limit: 9 })).toEqual(present(['latest']))
      expect(await again.childSize(alpine, digest('child'))).toBe('child'.length)
      expect(await again.listing(alpine, 'tags', 'n=1')).toEqual({ body: 'x', fetchedAt: 1 })
      expect(await again.publicBlob('docker.io', digest('b'))).toEqual({ size: 7, isPublic: true })
      await again.close()
    },
  )

  withIndex('closing twice is closing once, and a closed index still throws at nobody', async index => {
    await index.putTag(alpine, tag('latest'), tagged('a'))
    await index.close()
    await index.close()
    await index.putTag(alpine, tag('late'), tagged('b'))
    await index.flush()
    expect(await index.tag(alpine, tag('never'))).toEqual(unknown)
  })
}
