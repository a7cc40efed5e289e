/** What a scrub finds among the records: those of upstreams go, those of local repositories are told of. */
import { mkdir, readdir, rename, rm, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseRepositoryName, type Tag } from '../../../src/oci/name.ts'
import { localKey } from '../../../src/pull/target.ts'
import { bodyOf, imageOf, pushedOf, putManifest } from '../collect/collect-rig.ts'
import { collect, nothing, openScrubbed, type ScrubRig, upstreamKey } from './scrub-rig.ts'

const layer = pushedOf('a layer')
const image = imageOf('image', [layer])
const weekMs = 7 * 86_400_000
const key = upstreamKey

/** An image as a pull of a tag leaves it. */
async function keepImage(rig: ScrubRig): Promise<void> {
  await rig.keepBlob(layer)
  await rig.keepManifest(image)
  await rig.keepTag('v1', image)
}

async function pushImage(rig: ScrubRig): Promise<void> {
  await rig.push.uploads.push(rig.at('a'), layer.digest, bodyOf(layer))
  await putManifest(rig, 'a', image, 'v1')
}

const recordsOf = async (rig: ScrubRig) =>
  (await readdir(rig.store.layout.names, { recursive: true })).filter(name => /_\w+\/./.test(name))

describe('records of an upstream', () => {
  test('whose bytes have been gone for a week go, with what the index says and the folders', async () => {
    await using rig = await openScrubbed()
    await keepImage(rig)
    for (const { digest } of [layer, image]) await rig.store.drop(digest)
    rig.clock.advance(weekMs - 60_000)
    expect(await rig.scrub().run()).toMatchObject(nothing)
    expect(await recordsOf(rig)).toHaveLength(3)
    rig.clock.advance(120_000)
    const { findings, told } = collect()
    expect(await rig.scrub().run({ told })).toMatchObject({ ...nothing, records: 3 })
    expect(findings.map(({ repository, name }) => `${repository}: ${name}`).toSorted()).toEqual(
      [`blob ${layer.digest}`, `manifest ${image.digest}`, 'tag v1']
        .map(name => `docker.io/library/app: ${name}`)
        .toSorted(),
    )
    expect(await readdir(join(rig.store.layout.names, 'docker.io'))).toEqual([])
    expect(await rig.catalog.tag(key, 'v1' as Tag)).toBeUndefined()
    expect(await rig.catalog.manifest(key, image.digest)).toBeUndefined()
    expect(await rig.catalog.blob(key, layer.digest)).toBeUndefined()
    await keepImage(rig) // the next pull
    expect(await rig.scrub().run()).toMatchObject(nothing)
    expect(await recordsOf(rig)).toHaveLength(3)
  })

  test('stay while the bytes are here, cached or pushed, however old they are', async () => {
    await using rig = await openScrubbed()
    await keepImage(rig)
    await rig.store.pushed.pin(layer.digest)
    await rig.store.drop(layer.digest)
    rig.clock.advance(10 * weekMs)
    expect(await rig.scrub().run()).toMatchObject(nothing)
  })

  test('stay while their tag is asked for: upstream confirmed it lately', async () => {
    await using rig = await openScrubbed()
    await rig.keepBlob(layer)
    await rig.keepTag('v1', image) // as a HEAD leaves it
    rig.clock.advance(2 * weekMs)
    const entry = await rig.catalog.tag(key, 'v1' as Tag)
    if (!entry) throw new Error('the tag is gone')
    await rig.catalog.confirmTag(key, 'v1' as Tag, { ...entry, checkedAt: rig.clock.now() })
    expect(await rig.scrub().run()).toMatchObject(nothing)
    rig.clock.advance(2 * weekMs)
    expect(await rig.scrub().run()).toMatchObject({ ...nothing, records: 1 })
  })

  test('stay while no cached bytes are here at all: their disk may not be there', async () => {
    await using rig = await openScrubbed()
    await keepImage(rig)
    const { cachedBytes } = rig.store.layout
    await rename(cachedBytes, `${cachedBytes}.away`)
    rig.clock.advance(2 * weekMs)
    expect(await rig.scrub().run()).toMatchObject(nothing)
    expect(await recordsOf(rig)).toHaveLength(3)
  })

  test('that are none go: half of one, another kind, a foreign file', async () => {
    await using rig = await openScrubbed()
    await keepImage(rig)
    const { layout } = rig.store
    await writeFile(layout.tag(key, 'torn' as Tag), '{"v":1,"dig')
    await writeFile(layout.tag(key, 'other' as Tag), '{"v":1,"size":3,"at":1}')
    await writeFile(layout.manifest(key, layer.digest), 'null')
    await writeFile(join(layout.blobs(key), 'readme.txt'), 'hello')
    await mkdir(join(layout.blobs(key), 'folder'))
    expect(await rig.scrub().run()).toMatchObject({ ...nothing, records: 4 })
    expect((await recordsOf(rig)).filter(name => !name.endsWith('folder'))).toHaveLength(3)
  })

  test('are left alone by a dry run, which tells the same', async () => {
    await using rig = await openScrubbed()
    await keepImage(rig)
    for (const { digest } of [layer, image]) await rig.store.drop(digest)
    rig.clock.advance(2 * weekMs)
    expect(await rig.scrub().run({ dryRun: true })).toMatchObject({ ...nothing, records: 3 })
    expect(await recordsOf(rig)).toHaveLength(3)
  })

  test('are not taken while a pull brings the bytes back, or writes the record again', async () => {
    await using rig = await openScrubbed()
    await keepImage(rig)
    for (const { digest } of [layer, image]) await rig.store.drop(digest)
    rig.clock.advance(2 * weekMs)
    const read = rig.store.records.read.bind(rig.store.records)
    let reads = 0
    rig.store.records.read = async path => {
      const found = await read(path)
      reads += 1
      if (reads === 1) await rig.store.put(image.digest, image.body)
      if (path.includes('_blobs') && reads > 1) await rig.keepBlob(layer)
      return found
    }
    expect(await rig.scrub().run()).toMatchObject(nothing)
    expect(await recordsOf(rig)).toHaveLength(3)
  })

  test('are looked at twice: the bytes may have come back in between', async () => {
    await using rig = await openScrubbed()
    await keepImage(rig)
    for (const { digest } of [layer, image]) await rig.store.drop(digest)
    rig.clock.advance(2 * weekMs)
    const read = rig.store.records.read.bind(rig.store.records)
    const seen = new Set<string>()
    rig.store.records.read = async path => {
      if (seen.has(path)) for (const { digest, body } of [layer, image]) await rig.store.put(digest, body)
      seen.add(path)
      return read(path)
    }
    expect(await rig.scrub().run()).toMatchObject(nothing)
    expect(await recordsOf(rig)).toHaveLength(3)
  })

  test('of a repository within another go alone', async () => {
    await using rig = await openScrubbed()
    const inner = { ...key, repository: parseRepositoryName('library/app/inner') }
    await keepImage(rig)
    await rig.keepTag('v1', pushedOf('gone'), inner)
    rig.clock.advance(2 * weekMs)
    expect(await rig.scrub().run()).toMatchObject({ ...nothing, records: 1 })
    expect((await readdir(rig.store.layout.repository(key))).toSorted()).toEqual([
      '_blobs',
      '_manifests',
      '_tags',
    ])
  })

  test('many of them are gone through with few in memory', async () => {
    await using rig = await openScrubbed()
    await rig.keepBlob(layer)
    await mkdir(rig.store.layout.tags(key), { recursive: true })
    const text = JSON.stringify({
      v: 1,
      digest: image.digest,
      mediaType: 'x/y',
      movedAt: 1,
      source: 'upstream',
    })
    for (let nth = 0; nth < 500; nth += 1) await writeFile(rig.store.layout.tag(key, `v${nth}` as Tag), text)
    rig.clock.advance(2 * weekMs)
    expect(await rig.scrub().run()).toMatchObject({ ...nothing, records: 500 })
    expect(await recordsOf(rig)).toHaveLength(1)
  })
})

describe('records of a local repository', () => {
  test('that are none are told of with their path, and stay', async () => {
    await using rig = await openScrubbed()
    await pushImage(rig)
    const { layout } = rig.store
    const at = localKey(rig.at('a'))
    const paths = [
      layout.tag(at, 'torn' as Tag),
      layout.manifest(at, layer.digest),
      layout.blob(at, image.digest),
      join(layout.tags(at), '.hidden'),
    ]
    const texts = ['', '{"v":1,"size":7,"at":1}', '{"v":1,"size":"7"}', '{"v":1}']
    for (const [nth, path] of paths.entries()) await writeFile(path, texts[nth] ?? '')
    const { findings, told } = collect()
    expect(await rig.scrub().run({ told })).toMatchObject({ ...nothing, malformed: 4 })
    expect(findings.map(({ name }) => name).toSorted()).toEqual(paths.toSorted())
    for (const path of paths) {
      expect(await rig.isThere(path)).toBe(true)
      expect(rig.lines.join()).toContain(path)
    }
  })

  test('that name what is not here are told of, and stay', async () => {
    await using rig = await openScrubbed()
    await pushImage(rig)
    const { layout } = rig.store
    await unlink(layout.pushed(layer.digest))
    await writeFile(
      layout.tag(localKey(rig.at('a')), 'lost' as Tag),
      JSON.stringify({ v: 1, digest: layer.digest, mediaType: 'x/y', movedAt: 1, source: 'push' }),
    )
    const { findings, told } = collect()
    expect(await rig.scrub().run({ told })).toMatchObject({ ...nothing, missing: 2 })
    expect(findings.map(({ name }) => name).toSorted()).toEqual([`blob ${layer.digest}`, 'tag lost'])
    await rm(layout.tag(localKey(rig.at('a')), 'lost' as Tag))
    await rig.push.uploads.push(rig.at('a'), layer.digest, bodyOf(layer))
    expect(await rig.scrub().run()).toMatchObject(nothing)
  })

  test('that tell another size than there is are told of', async () => {
    await using rig = await openScrubbed()
    await pushImage(rig)
    await writeFile(
      rig.store.layout.blob(localKey(rig.at('a')), layer.digest),
      JSON.stringify({ v: 1, size: 8, at: 1, source: 'push' }),
    )
    const { findings, told } = collect()
    expect(await rig.scrub().run({ told })).toMatchObject({ ...nothing, missing: 1 })
    expect(findings[0]?.reason).toContain('it says 8 bytes, and there are 7')
  })

  test('stay where nothing is in them: empty folders too', async () => {
    await using rig = await openScrubbed()
    await pushImage(rig)
    const at = localKey(rig.at('a'))
    await rig.holdings.dropTag(at, 'v1' as Tag)
    await rig.scrub().run()
    expect(await rig.isThere(rig.store.layout.tags(at))).toBe(true)
  })

  test('as referrers are looked at too', async () => {
    await using rig = await openScrubbed()
    await pushImage(rig)
    await putManifest(rig, 'a', imageOf('signature', [], image))
    expect(await rig.scrub().run()).toMatchObject(nothing)
    const folder = rig.store.layout.referrers(localKey(rig.at('a')), image.digest)
    await writeFile(join(folder, 'sha256-00'), '{}')
    expect(await rig.scrub().run()).toMatchObject({ ...nothing, malformed: 1 })
  })
})
