/** Which repositories there are, and what each holds with its times: for proxied and local ones alike. */
import { describe, expect, test } from 'vitest'
import type { Tag } from '../../../src/oci/name.ts'
import { digest, everything, keyOf, manifestEntry, tagged } from '../../conformance/index-samples.ts'
import { FakeClock } from '../../fake/clock.ts'
import { layerOf, manifestOf, openHoldings } from './holdings-rig.ts'

const local = keyOf('docker.io/team/app', '_local')
const proxied = keyOf('library/nginx')

describe('repositories', () => {
  test('come in byte order of their full names across registries, each name once, in pages', async () => {
    await using rig = await openHoldings()
    const { catalog, holdings } = rig.assemble()
    for (const key of [proxied, keyOf('team/app'), keyOf('b', 'ghcr.io'), keyOf('z', 'docker.io')])
      await catalog.putBlob(key, digest('b'), { size: 1, isPublic: true })
    for (const key of [local, keyOf('docker', '_local'), keyOf('zoo', '_local')])
      await holdings.putBlob(key, digest('b'), { size: 1 })
    const all = ['docker', 'docker.io/library/nginx', 'docker.io/team/app', 'docker.io/z', 'ghcr.io/b', 'zoo']
    for (const _ of ['as put', 'from the folders']) {
      const { repositories: seen } = rig.assemble()
      expect(await seen.page(everything)).toEqual(all)
      for (const last of [...all, 'a', 'docker.io/', 'docker.io/m', 'ghcr.io', 'ghcr.iz', 'zz'])
        for (const limit of [0, 1, 2, 9])
          expect(await seen.page({ last, limit }), last).toEqual(
            all.filter(name => name > last).slice(0, limit),
          )
      expect(await seen.of('docker.io', { last: 'library/nginx', limit: 1 })).toEqual(['team/app'])
      expect(await seen.count('docker.io')).toBe(3)
      expect(await seen.count('quay.io')).toBe(0)
      await rig.loseIndex()
    }
  })

  test('of local ones the last thing that is deleted takes the name along', async () => {
    await using rig = await openHoldings()
    const { holdings, repositories } = rig.assemble()
    const image = manifestOf('image')
    await rig.put(holdings, local, image, ['a'])
    await holdings.putBlob(local, digest('b'), { size: 1 })
    expect(await repositories.page(everything)).toEqual(['docker.io/team/app'])
    await holdings.dropManifest(local, image.digest, () => {})
    expect(await repositories.page(everything)).toHaveLength(1)
    await holdings.dropBlob(local, digest('b'), () => {})
    expect(await repositories.page(everything)).toEqual([])
    await rig.loseIndex()
    expect(await rig.assemble().repositories.page(everything)).toEqual([])
  })
})

describe('revisions', () => {
  test('of a proxied repository have their tags, parents and times, also without the index', async () => {
    const clock = new FakeClock(1000)
    await using rig = await openHoldings({ clock })
    const { catalog } = rig.assemble()
    const image = manifestOf('image')
    const list = manifestOf('list', [image.digest])
    for (const one of [image, list]) await rig.store.put(one.digest, one.body)
    await (await catalog.putManifest(proxied, image.digest, manifestEntry(), []))()
    clock.advance(1000)
    await (await catalog.putManifest(proxied, list.digest, manifestEntry(), [layerOf(image.digest)]))()
    await (await catalog.putManifest(proxied, image.digest, manifestEntry(), []))()
    await (await catalog.moveTag(proxied, 'latest' as Tag, tagged('other', { digest: list.digest })))()
    catalog.notePull(proxied, list.digest)
    await catalog.stop()
    clock.advance(3_000_000)
    catalog.notePull(proxied, list.digest)
    await catalog.stop()
    const { mediaType } = manifestEntry()
    const expected = [
      { digest: image.digest, mediaType, tags: [], parents: [list.digest], at: 1000, pulledAt: undefined },
      { digest: list.digest, mediaType, tags: ['latest'], parents: [], at: 2000, pulledAt: 2000 },
    ].sort((a, b) => (a.digest < b.digest ? -1 : 1))
    for (const _ of ['as put', 'from the records']) {
      const { revisions } = rig.assemble()
      expect(await revisions.page(proxied, everything)).toEqual(expected)
      expect(await revisions.page(proxied, { last: expected[0]?.digest, limit: 1 })).toEqual(
        expected.slice(1),
      )
      await rig.loseIndex()
    }
  })

  test('of a local repository are those that it holds', async () => {
    const clock = new FakeClock(1000)
    await using rig = await openHoldings({ clock })
    const { holdings, revisions } = rig.assemble()
    const image = manifestOf('image')
    await rig.put(holdings, local, image, ['a'])
    const { mediaType } = pushed(await holdings.manifest(local, image.digest))
    expect(await revisions.page(local, everything)).toEqual([
      { digest: image.digest, mediaType, tags: ['a'], parents: [], at: 1000, pulledAt: undefined },
    ])
    await holdings.dropManifest(local, image.digest, () => {})
    expect(await revisions.page(local, everything)).toEqual([])
    expect(await revisions.page(keyOf('none', '_local'), everything)).toEqual([])
  })
})

function pushed<T>(found: T | undefined): T {
  if (found === undefined) throw new Error('it is not held')
  return found
}
