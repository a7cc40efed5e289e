/** What a collection takes, and what it leaves. */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import type { Finding } from '../../../src/collect/run.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { localKey, type RetentionRule } from '../../../src/pull/target.ts'
import {
  bodyOf,
  graceMs,
  hourMs,
  imageOf,
  indexOf,
  longMs,
  openCollected,
  pushedOf,
  putManifest,
} from './collect-rig.ts'

const layer = pushedOf('a layer')
const other = pushedOf('another layer')
const image = imageOf('image', [layer])
const dayMs = 24 * hourMs

describe('a blob that no manifest of its repository lists', () => {
  test('goes with its bytes when the grace has gone by', async () => {
    await using rig = await openCollected()
    await rig.push.uploads.push(rig.at('a'), layer.digest, bodyOf(layer))
    rig.clock.advance(graceMs)
    expect(await rig.collection().collect()).toMatchObject({ blobs: 0, files: 0 })
    rig.clock.advance(2 * hourMs)
    expect(await rig.collection().collect()).toMatchObject({ blobs: 1, files: 1, bytes: layer.body.length })
    expect(await rig.held('a')).toEqual({ tags: [], manifests: [], blobs: [] })
    expect(await rig.stored()).toEqual([])
    expect(await rig.trash()).toEqual([])
    expect(await rig.pull.blobHead(rig.at('a'), layer.digest)).toBeUndefined()
  })

  test.each([
    'HEAD',
    'mount',
    'push',
  ] as const)('is kept for the grace after a %s found it, also over a restart', async how => {
    await using rig = await openCollected()
    await rig.push.uploads.push(rig.at('a'), layer.digest, bodyOf(layer))
    rig.clock.advance(longMs)
    if (how === 'HEAD') expect(await rig.pull.blobHead(rig.at('a'), layer.digest)).toMatchObject({ size: 7 })
    if (how === 'mount')
      expect(await rig.push.mounts.mount(rig.at('a'), layer.digest, async () => true)).toBe(true)
    if (how === 'push') await rig.push.uploads.push(rig.at('a'), layer.digest, bodyOf(layer))
    rig.clock.advance(graceMs)
    await rig.holdings.stop()
    const again = rig.assemble()
    expect(await again.collection().collect()).toMatchObject({ blobs: 0, files: 0 })
    await putManifest({ ...rig, ...again }, 'a', image, 'v1')
    rig.clock.advance(longMs)
    expect(await again.collection().collect()).toMatchObject({ blobs: 0, files: 0 })
  })

  test('is looked at by its own repository: bytes that another one holds stay', async () => {
    await using rig = await openCollected()
    for (const name of ['a', 'b']) await rig.push.uploads.push(rig.at(name), layer.digest, bodyOf(layer))
    await putManifest(rig, 'b', image, 'v1')
    rig.clock.advance(longMs)
    expect(await rig.collection().collect()).toMatchObject({ blobs: 1, files: 0 })
    expect((await rig.held('a')).blobs).toEqual([])
    expect((await rig.held('b')).blobs).toEqual([layer.digest])
    expect(await rig.stored()).toEqual([image.digest, layer.digest].sort())
  })

  test('is kept where its record cannot be written: what was promised is remembered', async () => {
    await using rig = await openCollected()
    await rig.push.uploads.push(rig.at('a'), layer.digest, bodyOf(layer))
    rig.clock.advance(longMs)
    const { trash } = rig.store.layout
    await rename(trash, `${trash}.away`) // where records are written first
    await writeFile(trash, '')
    expect(await rig.pull.blobHead(rig.at('a'), layer.digest)).toMatchObject({ size: 7 })
    await rm(trash)
    await rename(`${trash}.away`, trash)
    expect(await rig.collection().collect()).toMatchObject({ blobs: 0, files: 0 })
  })
})

describe('what a manifest lists', () => {
  test('goes after the manifest, and an index keeps its children', async () => {
    await using rig = await openCollected()
    await rig.push.uploads.push(rig.at('a'), layer.digest, bodyOf(layer))
    const index = indexOf([image])
    await putManifest(rig, 'a', image)
    await putManifest(rig, 'a', index, 'v1')
    rig.clock.advance(longMs)
    expect(await rig.collection().collect()).toMatchObject({ manifests: 0, blobs: 0, files: 0 })
    for (const { digest } of [index, image])
      await rig.push.manifests.delete(rig.at('a'), { kind: 'digest', digest })
    expect(await rig.collection().collect()).toMatchObject({ blobs: 1, files: 3 })
    expect(await rig.stored()).toEqual([])
  })

  test('is not to be told where a manifest is damaged: nothing of that repository goes, and the log says so', async () => {
    await using rig = await openCollected()
    for (const name of ['a', 'b']) await rig.push.uploads.push(rig.at(name), layer.digest, bodyOf(layer))
    await rig.push.uploads.push(rig.at('a'), other.digest, bodyOf(other))
    await putManifest(rig, 'a', image, 'v1')
    await writeFile(rig.store.layout.pushed(image.digest), `${image.body.toString().slice(0, -2)} }`)
    rig.clock.advance(longMs)
    expect(await rig.collection().collect()).toMatchObject({ skipped: 1, blobs: 1, files: 0 })
    expect((await rig.held('a')).blobs).toEqual([layer.digest, other.digest].sort())
    expect(rig.lines.join()).toContain('missing or damaged')
  })
})

describe('bytes', () => {
  test('that no record names go when they are old', async () => {
    await using rig = await openCollected()
    await mkdir(rig.store.layout.localNames)
    await rig.store.pushed.put(layer.digest, layer.body)
    expect(await rig.collection().collect()).toMatchObject({ files: 0 })
    rig.clock.advance(longMs)
    expect(await rig.collection().collect()).toMatchObject({ files: 1 })
  })

  test('stay while somebody claims them, and who claims them during a removal waits for its end', async () => {
    await using rig = await openCollected()
    await rig.store.pushed.put(layer.digest, layer.body)
    const { pushed } = rig.store
    const order: string[] = []
    await pushed.claim(layer.digest, async () => {
      expect(await pushed.remove(layer.digest, () => true)).toBe(false)
    })
    const removed = pushed.remove(layer.digest, () => true).then(() => order.push('removed'))
    await pushed.claim(layer.digest, async () => {
      expect(await pushed.size(layer.digest)).toBeUndefined()
    })
    await removed
    expect(await pushed.remove(layer.digest, () => true)).toBe(false)
  })

  test('stay where the records are not to be found: a volume that is not mounted deletes nothing', async () => {
    await using rig = await openCollected()
    await rig.push.uploads.push(rig.at('a'), layer.digest, bodyOf(layer))
    const folder = rig.store.layout.localNames
    await rename(folder, `${folder}.away`)
    rig.clock.advance(longMs)
    expect(await rig.collection().collect()).toMatchObject({ files: 0 })
    expect(await rig.stored()).toEqual([layer.digest])
    expect(rig.lines.join()).toContain('its bytes are left alone')
  })

  test('that a cached copy shares are no space that comes back', async () => {
    await using rig = await openCollected()
    await mkdir(rig.store.layout.localNames)
    await rig.store.put(layer.digest, layer.body)
    await rig.store.pushed.pin(layer.digest)
    rig.clock.advance(longMs)
    expect(await rig.collection().collect()).toMatchObject({ files: 1, bytes: 0 })
    expect(await rig.store.read(layer.digest)).toEqual(layer.body)
  })

  test('of an upload whose record failed are brought again when they are gone', async () => {
    await using rig = await openCollected()
    const at = rig.at('a')
    const { id } = await rig.push.uploads.start(at)
    const chunk = (body: Buffer) => ({ ...bodyOf({ body, digest: layer.digest }), range: undefined })
    await rig.push.uploads.append(at, id, chunk(layer.body))
    const folder = rig.store.layout.repository(localKey(at))
    await mkdir(dirname(folder), { recursive: true })
    await writeFile(folder, '')
    const complete = () =>
      rig.push.uploads.complete(at, id, { digest: layer.digest, chunk: chunk(Buffer.alloc(0)) })
    await expect(complete()).rejects.toThrow()
    expect(await rig.stored()).toEqual([layer.digest])
    await rm(folder)
    rig.clock.advance(longMs)
    expect(await rig.collection().collect()).toMatchObject({ files: 1 })
    await expect(complete()).rejects.toMatchObject({ code: 'BLOB_UPLOAD_UNKNOWN' })
    expect(await rig.pull.blobHead(at, layer.digest)).toBeUndefined()
  })
})

describe('a manifest without a tag', () => {
  const untaggedMs = 7 * dayMs

  test('stays where nothing else is said', async () => {
    await using rig = await openCollected()
    await putManifest(rig, 'a', imageOf('alone', []))
    rig.clock.advance(1000 * dayMs)
    expect(await rig.collection().collect()).toMatchObject({ manifests: 0 })
  })

  test('goes so long after a collection found it so, whenever it was pushed', async () => {
    await using rig = await openCollected({ untaggedMs })
    const [first, second] = [imageOf('first', []), imageOf('second', [])]
    await putManifest(rig, 'a', first, 'v1')
    rig.clock.advance(100 * dayMs)
    await putManifest(rig, 'a', second, 'v1')
    expect(await rig.collection().collect()).toMatchObject({ manifests: 0 })
    rig.clock.advance(untaggedMs + hourMs - 1)
    expect(await rig.collection().collect()).toMatchObject({ manifests: 0 })
    rig.clock.advance(1)
    expect(await rig.collection().collect()).toMatchObject({ manifests: 1, files: 1 })
    expect((await rig.held('a')).manifests).toEqual([second.digest])
  })

  test('stays while it is pulled or asked for, and begins anew when it was tagged or listed meanwhile', async () => {
    await using rig = await openCollected({ untaggedMs })
    const [pulled, tagged, listed] = [imageOf('pulled', []), imageOf('tagged', []), imageOf('listed', [])]
    for (const one of [pulled, tagged, listed]) await putManifest(rig, 'a', one)
    await rig.collection().collect()
    rig.clock.advance(untaggedMs + hourMs)
    await rig.pull.manifest(rig.at('a'), { kind: 'digest', digest: pulled.digest }, { head: true })
    await putManifest(rig, 'a', tagged, 'v1')
    const index = indexOf([listed])
    await putManifest(rig, 'a', index, 'v2')
    expect(await rig.collection().collect()).toMatchObject({ manifests: 0 })
    await rig.push.manifests.delete(rig.at('a'), { kind: 'digest', digest: index.digest })
    await rig.push.manifests.delete(rig.at('a'), { kind: 'tag', tag: 'v1' as Tag })
    expect(await rig.collection().collect()).toMatchObject({ manifests: 0 })
    rig.clock.advance(untaggedMs + 3 * hourMs)
    expect(await rig.collection().collect()).toMatchObject({ manifests: 3 })
  })

  test('stays as a signature of what is held, and goes after it', async () => {
    await using rig = await openCollected({ untaggedMs })
    const signature = imageOf('signature', [], image)
    await putManifest(rig, 'a', image, 'v1')
    await putManifest(rig, 'a', signature)
    for (let times = 0; times < 3; times += 1) {
      rig.clock.advance(untaggedMs + hourMs)
      expect(await rig.collection().collect()).toMatchObject({ manifests: 0 })
    }
    await rig.push.manifests.delete(rig.at('a'), { kind: 'digest', digest: image.digest })
    await rig.collection().collect()
    rig.clock.advance(untaggedMs + hourMs)
    expect(await rig.collection().collect()).toMatchObject({ manifests: 1 })
    expect(
      await rig.holdings.referrers(localKey(rig.at('a')), image.digest, { last: undefined, limit: 9 }),
    ).toEqual([])
  })
})

describe('rules on tags', () => {
  const keep: RetentionRule['keep'] = { last: 1, newerThanMs: undefined, pulledWithinMs: 3 * dayMs }
  const retention = [
    { match: 'pr-*', keep, enforce: true },
    { match: '*-try', keep: { ...keep, pulledWithinMs: undefined }, enforce: false },
  ]

  test('take what none of their conditions keeps, and only tell of it without `enforce`', async () => {
    await using rig = await openCollected({ retention, immutableTags: ['pr-0*'] })
    for (const [at, tag] of ['pr-01', 'pr-2', 'pr-3', 'a-try', 'b-try', 'main', 'pr-4'].entries()) {
      rig.clock.advance(at)
      await putManifest(rig, 'a', imageOf(tag, []), tag)
    }
    rig.clock.advance(2 * dayMs)
    await rig.pull.manifest(rig.at('a'), { kind: 'tag', tag: 'pr-2' as Tag }, { head: true })
    const { digest } = imageOf('pr-2', [])
    await vi.waitFor(
      async () =>
        expect((await rig.holdings.manifest(localKey(rig.at('a')), digest))?.pulledAt).toBeDefined(),
      { timeout: 5_000 },
    )
    rig.clock.advance(2 * dayMs)
    const told: Finding[] = []
    const dry = await rig.collection().collect({ dryRun: true, told: finding => told.push(finding) })
    expect(dry).toMatchObject({ tags: 1, spared: 1 })
    expect(told.map(({ kind, name }) => [kind, name])).toEqual([
      ['tag', 'pr-3'],
      ['tag', 'a-try'],
    ])
    expect((await rig.held('a')).tags).toHaveLength(7)
    expect(await rig.collection().collect()).toMatchObject({ tags: 1, spared: 1, manifests: 0 })
    expect((await rig.held('a')).tags).toEqual(['a-try', 'b-try', 'main', 'pr-01', 'pr-2', 'pr-4'])
    expect(rig.lines.join()).toContain('"tags":["a-try"]')
  })

  test('leave signatures in their tags to what they are about', async () => {
    await using rig = await openCollected({
      retention: [{ match: '*', keep: { ...keep, pulledWithinMs: undefined }, enforce: true }],
    })
    await putManifest(rig, 'a', image, 'v1')
    const signature = `${image.digest.replace(':', '-')}.sig`
    await putManifest(rig, 'a', imageOf('signature', []), signature)
    rig.clock.advance(dayMs)
    await putManifest(rig, 'a', imageOf('new', []), 'v2')
    expect(await rig.collection().collect()).toMatchObject({ tags: 1 })
    expect((await rig.held('a')).tags).toEqual([signature, 'v2'])
  })
})

test('a dry run tells what a run would take, bytes included, and changes nothing', async () => {
  await using rig = await openCollected()
  await rig.push.uploads.push(rig.at('a'), layer.digest, bodyOf(layer))
  rig.clock.advance(longMs)
  const before = [await rig.held('a'), await rig.stored()]
  const report = await rig.collection().collect({ dryRun: true })
  expect(report).toMatchObject({ blobs: 1, files: 1, bytes: layer.body.length })
  expect([await rig.held('a'), await rig.stored()]).toEqual(before)
  expect(await rig.collection().collect()).toEqual(report)
})

test('one at a time, and a stop ends it', async () => {
  await using rig = await openCollected()
  await rig.push.uploads.push(rig.at('a'), layer.digest, bodyOf(layer))
  rig.clock.advance(longMs)
  const stop = new AbortController()
  const collection = rig.collection(async name => {
    if (name === 'before: take blobs') stop.abort(new Error('enough'))
  })
  const running = collection.collect({ signal: stop.signal })
  await expect(collection.collect()).rejects.toThrow('under way')
  await expect(running).rejects.toThrow('enough')
  expect(await rig.stored()).toEqual([layer.digest])
  await collection.collect()
  expect(await rig.stored()).toEqual([])
  expect(await rig.metrics.collections.get()).toMatchObject({
    values: [
      { labels: { result: 'stopped' }, value: 1 },
      { labels: { result: 'done' }, value: 1 },
    ],
  })
})
