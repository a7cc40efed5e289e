/** What a scrub finds among the bytes, and what it does about it. */
import { mkdir, rename, symlink, unlink, writeFile } from 'node:fs/promises'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { RegistryError } from '../../../src/oci/errors.ts'
import { localKey } from '../../../src/pull/target.ts'
import { SharedFile } from '../../../src/store/files/file.ts'
import { type FollowedFile, HashThread, HashThreadEnded } from '../../../src/stream/hash-thread.ts'
import { bodyOf, imageOf, pushedOf, putManifest } from '../collect/collect-rig.ts'
import { collect, damages, flipBit, nothing, openScrubbed, type ScrubRig } from './scrub-rig.ts'

const layer = pushedOf('a layer')
const other = pushedOf('another layer')
/** Of its own: a push gives its memory away. */
const largeOf = () => pushedOf('layer'.repeat(700_000))
const image = imageOf('image', [layer])

const pushLayer = (rig: ScrubRig, name = 'a', of = layer) =>
  rig.push.uploads.push(rig.at(name), of.digest, bodyOf(of))

function failOpening(digests: readonly string[], code: string): void {
  const isMeant = (path: string) => digests.some(digest => path.includes(digest.slice(7)))
  const open = SharedFile.open.bind(SharedFile)
  const spy = vi
    .spyOn(SharedFile, 'open')
    .mockImplementation((path, flags) =>
      isMeant(path) ? Promise.reject(Object.assign(new Error(code), { code })) : open(path, flags),
    )
  onTestFinished(() => spy.mockRestore())
}

test('a store that is as it should be is left alone, whatever its size, and its bytes are counted', async () => {
  const large = largeOf()
  await using rig = await openScrubbed()
  await rig.keepBlob(large)
  await rig.keepManifest(image)
  await pushLayer(rig)
  await pushLayer(rig, 'a', pushedOf(''))
  const sha512 = { body: layer.body, digest: digestOf(layer.body, 'sha512') }
  await pushLayer(rig, 'a', sha512)
  await putManifest(rig, 'a', image, 'v1')
  const { findings, told } = collect()
  const sizes = [large, image, image, layer, layer].map(({ body }) => body.length)
  const bytes = sizes.reduce((sum, size) => sum + size, 0)
  expect(await rig.scrub().run({ told })).toEqual({ ...nothing, files: 6, bytes })
  expect(findings).toEqual([])
  expect(await rig.metricOf('layover_scrubs_total')).toEqual(['{result="done"} 1'])
  expect((await rig.metricOf('layover_scrubbed_bytes_total')).sort()).toEqual([
    `{area="cached"} ${large.body.length + image.body.length}`,
    `{area="pushed"} ${image.body.length + 2 * layer.body.length}`,
  ])
})

describe.each(Object.entries(damages))('of a damaged file (%s)', (_what, damage) => {
  test('the cached copy is dropped', async () => {
    await using rig = await openScrubbed()
    await rig.keepBlob(layer)
    await rig.keepBlob(other)
    await damage(rig.store.layout.cached(layer.digest))
    const { findings, told } = collect()
    expect(await rig.scrub().run({ told })).toMatchObject({ ...nothing, files: 2, dropped: 1 })
    expect(await rig.store.size(layer.digest)).toBeUndefined()
    expect(await rig.store.size(other.digest)).toBe(other.body.length)
    expect(findings).toMatchObject([{ kind: 'cached', name: layer.digest }])
    expect(await rig.metricOf('layover_damaged_total')).toEqual(['{area="cached"} 1'])
    await rig.keepBlob(layer)
    expect(await rig.scrub().run()).toMatchObject({ ...nothing, files: 2 })
  })

  test('the pushed one is put into quarantine, named with who holds it, and healed by a push', async () => {
    await using rig = await openScrubbed()
    for (const name of ['a', 'b']) await pushLayer(rig, name)
    await damage(rig.store.layout.pushed(layer.digest))
    const { findings, told } = collect()
    const report = await rig.scrub().run({ told })
    expect(report).toMatchObject({ ...nothing, files: 1, quarantined: 1, missing: 2 })
    expect(await rig.stored()).toEqual([])
    expect(await rig.quarantine()).toEqual([layer.digest.replace(':', '-')])
    expect(rig.quarantined).toEqual([layer.digest])
    const record = { kind: 'record', name: `blob ${layer.digest}` }
    expect(findings.map(({ repository = '' }) => repository).toSorted()).toEqual([
      '',
      '',
      'local/a',
      'local/b',
    ])
    expect(findings).toMatchObject([
      { kind: 'pushed', name: layer.digest },
      record,
      record,
      { kind: 'quarantine', reason: expect.stringContaining('push it again') },
    ])
    expect(rig.lines.join()).toContain('"repositories":["local/a","local/b"]')
    const pulling = rig.pull.blob(rig.at('a'), layer.digest)
    await expect(pulling).rejects.toThrow(/missing or damaged here: push them again/)
    await expect(pulling).rejects.toBeInstanceOf(RegistryError)
    expect(await rig.pull.blobHead(rig.at('a'), layer.digest)).toBeUndefined()
    await pushLayer(rig)
    expect(await rig.pull.blobHead(rig.at('b'), layer.digest)).toMatchObject({ size: 7 })
    const again = collect()
    expect(await rig.scrub().run(again)).toMatchObject({ ...nothing, files: 1 })
    expect(again.findings).toMatchObject([
      { kind: 'quarantine', reason: expect.stringContaining('delete this copy') },
    ])
    expect(await rig.quarantine()).toHaveLength(1)
  })
})

test('a large file that is damaged in its last byte is found', async () => {
  const large = largeOf()
  await using rig = await openScrubbed()
  await rig.keepBlob(large)
  const wrong = Buffer.from(large.body)
  await pushLayer(rig, 'a', large)
  await unlink(rig.store.layout.pushed(large.digest))
  wrong[wrong.length - 1] = 0
  await writeFile(rig.store.layout.pushed(large.digest), wrong)
  expect(await rig.scrub().run()).toMatchObject({ files: 2, dropped: 0, quarantined: 1 })
})

describe('a file that cannot be read', () => {
  test('is as good as damaged', async () => {
    await using rig = await openScrubbed()
    await rig.keepBlob(layer)
    await pushLayer(rig, 'a', other)
    failOpening([layer.digest, other.digest], 'EIO')
    expect(await rig.scrub().run()).toMatchObject({ dropped: 1, quarantined: 1, missing: 1, unchecked: 0 })
    expect(await rig.quarantine()).toHaveLength(1)
  })

  test.each([
    'EACCES',
    'EMFILE',
  ])('for a reason that is not its own (%s) is left alone and told of', async code => {
    await using rig = await openScrubbed()
    await rig.keepBlob(layer)
    await pushLayer(rig, 'a', other)
    failOpening([layer.digest, other.digest], code)
    expect(await rig.scrub().run()).toMatchObject({ ...nothing, unchecked: 2 })
    expect(await rig.store.size(layer.digest)).toBe(7)
    expect(rig.lines.join()).toContain('could not be checked')
  })
})

describe('a reading that fails', () => {
  const once = (digest: () => Promise<string>) => {
    const reading = { written: () => {}, digest, close: () => {} } as unknown as FollowedFile
    const spy = vi.spyOn(HashThread.prototype, 'follow').mockImplementationOnce(() => reading)
    onTestFinished(() => spy.mockRestore())
  }

  test.each([
    ['wrong bytes', () => Promise.resolve('00')],
    ['an error', () => Promise.reject(new Error('EIO'))],
  ])('costs nothing that was pushed where the second one does not (%s)', async (_what, digest) => {
    await using rig = await openScrubbed()
    await pushLayer(rig)
    once(digest)
    expect(await rig.scrub().run()).toMatchObject({ ...nothing, files: 1 })
  })

  test('because its thread ended is no word about the file: the scrub fails, and goes on the next time', async () => {
    await using rig = await openScrubbed()
    await rig.keepBlob(layer)
    once(() => Promise.reject(new HashThreadEnded('the thread ended')))
    await expect(rig.scrub().run()).rejects.toThrow('the thread ended')
    expect(await rig.metricOf('layover_scrubs_total')).toEqual(['{result="failed"} 1'])
    expect(await rig.scrub().run()).toMatchObject({ ...nothing, files: 1 })
  })
})

describe('a file under two names', () => {
  test('is read once, and both are seen to', async () => {
    await using rig = await openScrubbed()
    await rig.keepBlob(layer)
    await rig.store.pushed.pin(layer.digest)
    expect(await rig.scrub().run()).toMatchObject({ ...nothing, files: 1 })
    await flipBit(rig.store.layout.cached(layer.digest))
    expect(await rig.scrub().run()).toMatchObject({ ...nothing, dropped: 1, quarantined: 1 })
    expect([await rig.stored(), await rig.store.size(layer.digest)]).toEqual([[], undefined])
    expect(await rig.quarantine()).toHaveLength(1)
  })

  test('that were made apart are two: a sound cached copy takes the place of a damaged pushed one', async () => {
    await using rig = await openScrubbed()
    await pushLayer(rig)
    await rig.keepBlob(layer)
    await flipBit(rig.store.layout.pushed(layer.digest))
    const { findings, told } = collect()
    expect(await rig.scrub().run({ told })).toMatchObject({ ...nothing, files: 2, quarantined: 1 })
    expect(findings[0]?.reason).toContain('a cached copy has taken its place')
    expect(await rig.store.pushed.look(layer.digest)).toMatchObject({ size: 7, isOnly: false })
    const found = await rig.pull.blob(rig.at('a'), layer.digest)
    if (found?.kind === 'bytes') found.bytes.close()
    expect(found).toMatchObject({ kind: 'bytes', size: 7 })
  })
})

test('a dry run tells the same and changes nothing', async () => {
  await using rig = await openScrubbed()
  await rig.keepBlob(layer)
  await rig.store.pushed.pin(layer.digest)
  await pushLayer(rig, 'a', other)
  for (const path of [rig.store.layout.cached(layer.digest), rig.store.layout.pushed(other.digest)])
    await flipBit(path)
  const dry = await rig.scrub().run({ dryRun: true })
  expect(dry).toMatchObject({ ...nothing, dropped: 1, quarantined: 2 })
  expect(await rig.stored()).toEqual([layer.digest, other.digest].sort())
  expect(await rig.store.size(layer.digest)).toBe(7)
  expect(await rig.isThere(rig.store.layout.scrub)).toBe(false)
  expect(await rig.metricOf('layover_scrub')).not.toContainEqual(expect.stringContaining('done'))
  expect(await rig.quarantine()).toEqual([])
})

test('what is no digest, or lies in another folder than its own, is no file of the store', async () => {
  await using rig = await openScrubbed()
  await pushLayer(rig)
  const { layout } = rig.store
  await mkdir(`${layout.cachedBytes}/sha256/zz`, { recursive: true })
  await mkdir(`${layout.cachedBytes}/sha256/00`, { recursive: true })
  const paths = [`zz/${layer.digest.slice(7)}`, `00/${'ab'.repeat(32)}`, '00/note'].map(
    name => `${layout.cachedBytes}/sha256/${name}`,
  )
  for (const path of paths) await writeFile(path, 'foreign')
  await mkdir(layout.pushed(other.digest), { recursive: true })
  expect(await rig.scrub().run()).toMatchObject({ ...nothing, files: 1 })
  for (const path of paths) expect(await rig.isThere(path)).toBe(true)
})

describe('what is replaced while it is read', () => {
  /** Something comes between the reading of a file and what follows from it. */
  const meddle = (digest: string, task: (nth: number) => Promise<unknown>) => {
    const open = SharedFile.open.bind(SharedFile)
    let opened = 0
    const spy = vi.spyOn(SharedFile, 'open').mockImplementation(async (path, flags) => {
      const file = await open(path, flags)
      if (!path.includes(digest.slice(7))) return file
      opened += 1
      await task(opened)
      return file
    })
    onTestFinished(() => spy.mockRestore())
  }

  test('is not dropped: the new copy is right', async () => {
    await using rig = await openScrubbed()
    await rig.keepBlob(layer)
    await flipBit(rig.store.layout.cached(layer.digest))
    meddle(layer.digest, nth => (nth === 1 ? rig.store.put(layer.digest, layer.body) : Promise.resolve()))
    expect(await rig.scrub().run()).toMatchObject({ ...nothing, dropped: 0 })
    expect(await rig.store.read(layer.digest)).toEqual(layer.body)
  })

  test('is not put away: a push has healed it', async () => {
    await using rig = await openScrubbed()
    await pushLayer(rig)
    await flipBit(rig.store.layout.pushed(layer.digest))
    meddle(layer.digest, nth => (nth === 1 ? pushLayer(rig, 'b') : Promise.resolve()))
    expect(await rig.scrub().run()).toMatchObject(nothing)
    expect(await rig.store.pushed.read(layer.digest)).toEqual(layer.body)
    expect(await rig.quarantine()).toEqual([])
  })

  test('may have been deleted and collected: then nothing is wrong', async () => {
    await using rig = await openScrubbed()
    await pushLayer(rig)
    await flipBit(rig.store.layout.pushed(layer.digest))
    meddle(layer.digest, async () => {
      await rig.holdings.dropBlob(localKey(rig.at('a')), layer.digest, () => {})
      await rig.store.pushed.remove(layer.digest, () => true)
    })
    expect(await rig.scrub().run()).toMatchObject(nothing)
  })
})

test('damaged bytes that somebody claims are put away when the claim has ended', async () => {
  await using rig = await openScrubbed()
  await pushLayer(rig)
  await flipBit(rig.store.layout.pushed(layer.digest))
  const gate = Promise.withResolvers<void>()
  const claim = rig.store.pushed.claim(layer.digest, () => gate.promise)
  const scrubbing = rig.scrub().run()
  await rig.clock.untilSleeping()
  expect(await rig.stored()).toEqual([layer.digest])
  gate.resolve()
  await claim
  rig.clock.advance(1_000)
  expect(await scrubbing).toMatchObject({ quarantined: 1 })
})

test('damaged bytes that cannot be put away are told of, and the rest is gone through', async () => {
  await using rig = await openScrubbed()
  await pushLayer(rig)
  await pushLayer(rig, 'a', other)
  await rig.keepBlob(layer)
  const { layout } = rig.store
  await writeFile(layout.quarantine, '') // in the way
  for (const digest of [layer.digest, other.digest]) await flipBit(layout.pushed(digest))
  await flipBit(layout.cached(layer.digest))
  expect(await rig.scrub().run()).toMatchObject({ unchecked: 2, dropped: 1, quarantined: 0 })
  expect(await rig.stored()).toHaveLength(2)
})

test('a folder of bytes that is on another disk is gone through like any other', async () => {
  await using rig = await openScrubbed()
  await rig.keepBlob(layer)
  const { cachedBytes } = rig.store.layout
  await rename(cachedBytes, `${cachedBytes}.disk`)
  await symlink(`${cachedBytes}.disk`, cachedBytes)
  await flipBit(rig.store.layout.cached(layer.digest))
  expect(await rig.scrub().run()).toMatchObject({ files: 1, dropped: 1 })
})

describe('one that is cut off', () => {
  const many = Array.from({ length: 12 }, (_, nth) => pushedOf(`layer ${nth}`)).sort((a, b) =>
    a.digest < b.digest ? -1 : 1,
  )
  const shards = new Set(many.map(({ digest }) => digest.slice(7, 9))).size

  test('goes on behind the last folder it went through, over a restart, and tells of the whole', async () => {
    await using rig = await openScrubbed()
    for (const each of many) await rig.keepBlob(each)
    const [first, last] = [many[0] ?? layer, many.at(-1) ?? layer]
    for (const { digest } of [first, last]) await flipBit(rig.store.layout.cached(digest))
    const stopping = new AbortController()
    const stopped = rig.scrub().run({
      signal: stopping.signal,
      told: () => stopping.abort(new Error('stopped')),
    })
    await expect(stopped).rejects.toThrow('stopped')
    expect(await rig.metricOf('layover_scrubs_total')).toEqual(['{result="stopped"} 1'])
    const scrub = rig.scrub()
    expect(await scrub.last()).not.toHaveProperty('endedAt')
    await rig.keepBlob(first)
    await flipBit(rig.store.layout.cached(first.digest)) // behind it: for the next one
    rig.clock.advance(1_000)
    const report = await scrub.run()
    expect(shards).toBeGreaterThan(2)
    expect(report.dropped).toBeGreaterThanOrEqual(2)
    expect(await scrub.last()).toMatchObject({ endedAt: rig.clock.now(), report })
    expect(await rig.scrub().run()).toMatchObject({ files: 11, dropped: 1 })
  })

  test('is ended by a stop in the middle of a file', async () => {
    const large = largeOf()
    await using rig = await openScrubbed()
    await rig.keepBlob(large)
    const stopping = new AbortController()
    const running = rig.scrub({ bytesPerSecond: () => 2 ** 20 }).run({ signal: stopping.signal })
    await rig.clock.untilSleeping()
    rig.clock.advance(100)
    await rig.clock.untilSleeping()
    stopping.abort(new Error('stopped'))
    await expect(running).rejects.toThrow('stopped')
    expect(await rig.store.size(large.digest)).toBe(large.body.length)
    expect(await rig.scrub().run()).toMatchObject({ ...nothing, files: 1 })
  })

  test('begins anew where its note is damaged', async () => {
    await using rig = await openScrubbed()
    await rig.keepBlob(layer)
    await writeFile(rig.store.layout.scrub, '{"v":1,"star')
    expect(await rig.scrub().last()).toBeUndefined()
    expect(await rig.scrub().run()).toMatchObject({ files: 1 })
  })
})

test('two at once are refused', async () => {
  await using rig = await openScrubbed()
  const scrub = rig.scrub()
  const running = scrub.run()
  await expect(scrub.run()).rejects.toThrow('under way')
  await running
})

describe('it reads so many bytes a second at most', () => {
  /** Time that passes by sleeping alone. */
  const sleeper = () => {
    const clock = {
      ms: 0,
      now: () => Date.now(),
      monotonic: () => clock.ms,
      sleep: async (ms: number) => {
        clock.ms += ms
      },
    }
    return clock
  }

  test('of large files and of small ones, which count as 64 KiB more', async () => {
    await using rig = await openScrubbed()
    const large = largeOf()
    for (const each of [large, layer, other]) await rig.keepBlob(each)
    const clock = sleeper()
    const { bytes } = await rig.scrub({ clock, bytesPerSecond: () => 2 ** 20 }).run()
    const records = 3 * 16 * 1024
    const wantedMs = ((bytes + 3 * 64 * 1024 + records) / 2 ** 20) * 1_000
    expect(clock.ms).toBeGreaterThan(wantedMs - 20)
    expect(clock.ms).toBeLessThan(wantedMs + 20)
  })

  test('and a new rate counts at once', async () => {
    await using rig = await openScrubbed()
    await rig.keepBlob(largeOf())
    const clock = sleeper()
    await rig.scrub({ clock, bytesPerSecond: () => (clock.ms < 1_000 ? 2 ** 20 : 0) }).run()
    expect(clock.ms).toBeGreaterThanOrEqual(1_000)
    expect(clock.ms).toBeLessThan(2_000)
  })
})
