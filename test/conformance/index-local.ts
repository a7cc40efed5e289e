/** What every index promises about what points at what, about repositories, and about local ones after a crash. */
import { expect } from 'vitest'
import type { Index } from '../../src/index/index.ts'
import type { Tag } from '../../src/oci/name.ts'
import type { WithIndex } from './index.ts'
import { digest, everything, keyOf, manifestEntry, referrer, tagged } from './index-samples.ts'

const tag = (text: string) => text as Tag
const present = (value: unknown) => ({ answer: 'present', value })
const unknown = { answer: 'unknown' }
const alpine = keyOf('library/alpine')
const app = keyOf('team/app', '_local')

export function relations(withIndex: WithIndex) {
  for (const key of [alpine, app]) {
    withIndex(`${key.registry}: tags are found by what they point at, under the mark`, async index => {
      for (const name of ['b', 'a']) await index.putTag(key, tag(name), tagged('one'))
      await index.putTag(key, tag('c'), tagged('two'))
      expect(await index.tagsOf(key, digest('one'))).toEqual(unknown)
      await index.markComplete(key, 'tags')
      expect(await index.tagsOf(key, digest('one'))).toEqual(present(['a', 'b']))
      await index.flush()
      await index.putTag(key, tag('a'), tagged('two'))
      await index.dropTag(key, tag('b'))
      expect(await index.tagsOf(key, digest('one'))).toEqual(present([]))
      expect(await index.tagsOf(key, digest('two'))).toEqual(present(['a', 'c']))
      await index.putTag(key, tag('a'), tagged('one'))
      expect(await index.tagsOf(key, digest('one'))).toEqual(present(['a']))
      expect(await index.tagsOf(keyOf('other', key.registry), digest('one'))).toEqual(unknown)
    })

    withIndex(
      `${key.registry}: manifests are found by what they list, as long as they are held`,
      async index => {
        for (const parent of ['p', 'q']) {
          await index.putChildren(key, digest(parent), [referrer('layer'), referrer(parent)])
          await index.putManifest(key, digest(parent), manifestEntry())
        }
        expect(await index.parentsOf(key, digest('layer'))).toEqual(unknown)
        await index.markComplete(key, 'manifests')
        expect(await index.parentsOf(key, digest('layer'))).toEqual(
          present([digest('p'), digest('q')].sort()),
        )
        await index.flush()
        await index.dropManifest(key, digest('p'))
        expect(await index.parentsOf(key, digest('layer'))).toEqual(present([digest('q')]))
        await index.dropChildren(key, digest('q'), [referrer('layer')])
        expect(await index.parentsOf(key, digest('layer'))).toEqual(present([]))
        expect(await index.parentsOf(key, digest('q'))).toEqual(present([digest('q')]))
      },
    )

    withIndex(`${key.registry}: manifests come in byte order, in pages`, async index => {
      const digests = Array.from({ length: 9 }, (_, at) => digest(`m${at}`)).sort()
      for (const [at, one] of digests.toReversed().entries()) {
        await index.putManifest(key, one, manifestEntry({ size: at }))
        if (at === 4) await index.flush()
      }
      expect(await index.manifests(key, everything)).toEqual(unknown)
      await index.markComplete(key, 'manifests')
      expect(await index.manifests(key, { last: digests[3], limit: 2 })).toEqual(
        present([4, 5].map(at => ({ digest: digests[at], entry: manifestEntry({ size: 8 - at }) }))),
      )
    })

    withIndex(
      `${key.registry}: referrers come in pages, and can be marked for one subject alone`,
      async index => {
        const subject = digest('subject')
        const all = ['a', 'b', 'c', 'd'].map(referrer).sort((a, b) => (a.digest < b.digest ? -1 : 1))
        for (const one of all) await index.putReferrer(key, subject, one)
        await index.markComplete(key, { referrersOf: subject })
        expect(await index.referrers(key, subject, { last: undefined, limit: 2 })).toEqual(
          present(all.slice(0, 2)),
        )
        expect(await index.referrers(key, subject, { last: all[1]?.digest, limit: 9 })).toEqual(
          present(all.slice(2)),
        )
        expect(await index.referrers(key, digest('other'), everything)).toEqual(unknown)
        await index.markComplete(key, 'referrers')
        expect(await index.referrers(key, digest('other'), everything)).toEqual(present([]))
        await index.markIncomplete(key, { referrersOf: subject })
        expect(await index.referrers(key, subject, everything)).toEqual(unknown)
      },
    )

    withIndex(`${key.registry}: a mark that is taken back leaves the others`, async index => {
      await index.markComplete(key, 'tags')
      await index.markComplete(key, 'blobs')
      await index.markIncomplete(key, 'tags')
      expect(await index.tags(key, everything)).toEqual(unknown)
      expect(await index.blob(key, digest('b'))).toEqual({ answer: 'absent' })
    })
  }

  withIndex('local repositories that a blob was put for are hinted at, others never', async index => {
    const other = keyOf('a/b', '_local')
    for (const key of [app, other, alpine])
      await index.putBlob(key, digest('b'), { size: 1, isPublic: false })
    expect(await index.holdersOf(digest('b'), 9)).toEqual([other, app])
    expect(await index.holdersOf(digest('b'), 1)).toEqual([other])
    await index.dropBlob(other, digest('b'))
    expect(await index.holdersOf(digest('b'), 9)).toEqual([app])
    expect(await index.publicBlob('_local', digest('b'))).toBeUndefined()
  })
}

export function repositories(withIndex: WithIndex) {
  const namesOf = (index: Index, registry: string) => index.repositories(registry, everything)

  withIndex('repositories are known by what was put for them, in byte order, under the mark', async index => {
    await index.putTag(keyOf('b/c'), tag('x'), tagged('x'))
    await index.putManifest(keyOf('b-c'), digest('m'), manifestEntry())
    await index.putBlob(keyOf('a', 'ghcr.io'), digest('b'), { size: 1, isPublic: true })
    await index.putRepository(app)
    await index.putReferrer(keyOf('none'), digest('s'), referrer('r'))
    expect(await namesOf(index, 'docker.io')).toEqual(unknown)
    await index.markRepositoriesComplete()
    expect(await namesOf(index, 'docker.io')).toEqual(present(['b-c', 'b/c']))
    expect(await namesOf(index, 'ghcr.io')).toEqual(present(['a']))
    expect(await namesOf(index, '_local')).toEqual(present(['team/app']))
    expect(await namesOf(index, 'quay.io')).toEqual(present([]))
    expect(await index.registries()).toEqual(['_local', 'docker.io', 'ghcr.io'])
    expect(await index.repositories('docker.io', { last: 'b-c', limit: 1 })).toEqual(present(['b/c']))
  })

  withIndex('a repository that was dropped returns with the next thing put for it', async index => {
    await index.markRepositoriesComplete()
    await index.putTag(app, tag('x'), tagged('x'))
    await index.flush()
    await index.dropRepository(app)
    expect(await namesOf(index, '_local')).toEqual(present([]))
    await index.putTag(app, tag('y'), tagged('x'))
    expect(await namesOf(index, '_local')).toEqual(present(['team/app']))
  })

  withIndex('after a crash repositories are to be completed again', async (index, place) => {
    await index.putRepository(keyOf('gone'))
    await index.putRepository(keyOf('kept'))
    await index.markRepositoriesComplete()
    await index.flush()
    const again = await place.openCrashed()
    expect(await namesOf(again, 'docker.io')).toEqual(unknown)
    await again.putRepository(keyOf('kept'))
    await again.markRepositoriesComplete()
    expect(await namesOf(again, 'docker.io')).toEqual(present(['kept']))
    await again.close()
  })
}

export function localEntries(withIndex: WithIndex) {
  withIndex(
    'what a crash left of a local repository is not believed, and gone under a new mark',
    async (index, place) => {
      const fill = async () => {
        await index.putTag(app, tag('old'), tagged('m'))
        await index.putTag(app, tag('t'), tagged('m'))
        await index.putManifest(app, digest('m'), manifestEntry())
        await index.putBlob(app, digest('b'), { size: 1, isPublic: false })
        await index.putReferrer(app, digest('s'), referrer('r'))
        for (const what of ['tags', 'manifests', 'blobs', 'referrers'] as const)
          await index.markComplete(app, what)
        await index.flush()
      }
      await fill()
      const again = await place.openCrashed()
      expect(await again.tag(app, tag('t'))).toEqual(unknown)
      expect(await again.manifest(app, digest('m'))).toEqual(unknown)
      expect(await again.blob(app, digest('b'))).toEqual(unknown)
      expect(await again.tags(app, everything)).toEqual(unknown)
      await again.putTag(app, tag('t'), tagged('new'))
      expect(await again.tag(app, tag('t'))).toEqual(present(tagged('new')))
      for (const what of ['tags', 'manifests', 'blobs', 'referrers'] as const)
        await again.markComplete(app, what)
      expect(await again.tags(app, everything)).toEqual(present(['t']))
      expect(await again.tag(app, tag('old'))).toEqual({ answer: 'absent' })
      expect(await again.tagsOf(app, digest('m'))).toEqual(present([]))
      expect(await again.tagsOf(app, digest('new'))).toEqual(present(['t']))
      expect(await again.manifests(app, everything)).toEqual(present([]))
      expect(await again.blob(app, digest('b'))).toEqual({ answer: 'absent' })
      expect(await again.referrers(app, digest('s'), everything)).toEqual(present([]))
      expect(await again.holdersOf(digest('b'), 9)).toEqual([])
      await again.close()
    },
  )

  withIndex(
    'outdated tags leave no gap in a page, and are passed over while they last',
    async (index, place) => {
      for (let at = 0; at < 30; at += 1) await index.putTag(app, tag(`v${at}`), tagged('m'))
      await index.flush()
      const again = await place.openCrashed()
      for (const at of [3, 17, 29]) await again.putTag(app, tag(`v${at}`), tagged('m'))
      await again.markComplete(app, 'tags')
      expect(await again.tags(app, { last: undefined, limit: 2 })).toEqual(present(['v17', 'v29']))
      expect(await again.tags(app, { last: 'v29', limit: 2 })).toEqual(present(['v3']))
      await again.close()
    },
  )

  withIndex('what was put of a local repository before a new epoch was begun is unknown', async index => {
    const { epoch } = index
    const what = ['tags', 'manifests', 'blobs', 'referrers'] as const
    await index.putTag(app, tag('t'), tagged('m'))
    await index.putManifest(app, digest('m'), manifestEntry())
    await index.putBlob(app, digest('b'), { size: 1, isPublic: false })
    await index.putReferrer(app, digest('s'), referrer('r'))
    for (const each of what) await index.markComplete(app, each)
    await index.putTag(alpine, tag('t'), tagged('m'))
    index.renew()
    expect(index.epoch).not.toBe(epoch)
    expect(await index.tag(app, tag('t'))).toEqual(unknown)
    expect(await index.tag(app, tag('none'))).toEqual(unknown)
    expect(await index.manifest(app, digest('m'))).toEqual(unknown)
    expect(await index.blob(app, digest('b'))).toEqual(unknown)
    expect(await index.tags(app, everything)).toEqual(unknown)
    expect(await index.referrers(app, digest('s'), everything)).toEqual(unknown)
    expect(await index.tag(alpine, tag('t'))).toEqual(present(tagged('m')))
    for (const each of what) await index.markComplete(app, each, epoch)
    expect(await index.tags(app, everything)).toEqual(unknown)
    await index.putTag(app, tag('u'), tagged('m'))
    await index.markComplete(app, 'tags')
    expect(await index.tags(app, everything)).toEqual(present(['u']))
    expect(await index.tag(app, tag('t'))).toEqual({ answer: 'absent' })
  })

  withIndex('a mark of an earlier epoch is void', async (index, place) => {
    const { epoch } = index
    await index.flush()
    const again = await place.openCrashed()
    if (again.epoch === epoch) return // in memory nothing is ever lost
    await again.markComplete(app, 'tags', epoch)
    await again.markRepositoriesComplete(epoch)
    expect(await again.tags(app, everything)).toEqual(unknown)
    expect(await again.repositories('_local', everything)).toEqual(unknown)
    await again.close()
  })
}
