/** What local repositories hold: records first, the index never believed over them, and each write whole or not at all. */
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { PushedManifest } from '../../../src/index/local/holdings.ts'
import { RegistryError } from '../../../src/oci/errors.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { digest, everything, keyOf } from '../../conformance/index-samples.ts'
import { FakeClock } from '../../fake/clock.ts'
import { layerOf, manifestOf, openHoldings, pushedManifest } from './holdings-rig.ts'

const key = keyOf('team/app', '_local')
const tag = (text: string) => text as Tag
const refuse = () => {
  throw new RegistryError('DENIED', 'the test says no')
}

/** Pauses between two tries are over at once; who waits for the disk waits for as long as it takes. */
class WithoutPauses extends FakeClock {
  override sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const slept = super.sleep(ms, signal)
    if (ms <= 1_500) this.advance(ms)
    return slept
  }
}

describe('pushing', () => {
  test('what was put is there at once, and after a start without an index', async () => {
    await using rig = await openHoldings()
    const { holdings } = rig.assemble()
    const layer = digest('layer')
    const image = manifestOf('image', [layer])
    const signature = manifestOf('signature', [], image.digest)
    await holdings.putBlob(key, layer, { size: 5 })
    await rig.put(holdings, key, image, ['b', 'a'])
    await rig.put(holdings, key, signature)
    const look = async () => {
      const { holdings: seen } = rig.assemble()
      expect(await seen.tags(key, everything)).toEqual(['a', 'b'])
      expect(await seen.tag(key, tag('a'))).toMatchObject({ digest: image.digest, size: image.body.length })
      expect(await seen.manifest(key, signature.digest)).toMatchObject({
        subject: image.digest,
        isPublic: false,
      })
      expect(await seen.blob(key, layer)).toEqual({ size: 5, isPublic: false })
      expect(await seen.tagsOf(key, image.digest)).toEqual(['a', 'b'])
      expect(await seen.parentsOf(key, layer)).toEqual([image.digest])
      expect(await seen.referrers(key, image.digest, everything)).toEqual([
        {
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          digest: signature.digest,
          size: signature.body.length,
          artifactType: 'application/vnd.test',
          annotations: { name: 'signature' },
        },
      ])
      expect(await seen.exists(key)).toBe(true)
      expect(await seen.tag(key, tag('c'))).toBeUndefined()
    }
    await look()
    await rig.reopen()
    await look()
    await rig.loseIndex()
    await look()
    await look()
  })

  test('records say that they were pushed, and when', async () => {
    const clock = new FakeClock(5000)
    await using rig = await openHoldings({ clock })
    const { holdings } = rig.assemble()
    const image = manifestOf('image')
    await rig.put(holdings, key, image, ['a'])
    clock.advance(1000)
    await rig.put(holdings, key, image, ['a'])
    const { layout } = rig.store
    const read = async (path: string) => JSON.parse(await readFile(path, 'utf8')) as unknown
    const tagRecord = { v: 1, digest: image.digest, size: image.body.length, movedAt: 5000, source: 'push' }
    expect(await read(layout.tag(key, tag('a')))).toMatchObject(tagRecord)
    expect(await read(layout.manifest(key, image.digest))).toMatchObject({ v: 1, at: 6000, source: 'push' })
  })

  test('is asked for what the tags point at and for what is missing, and refused before anything is written', async () => {
    await using rig = await openHoldings()
    const { holdings } = rig.assemble()
    const [one, two] = [manifestOf('one', [digest('layer'), digest('other')]), manifestOf('two')]
    await holdings.putBlob(key, digest('layer'), { size: 5 })
    await rig.put(holdings, key, two, ['a'])
    let found: Parameters<PushedManifest['allow']>[0] | undefined
    const requires = [layerOf(digest('layer')), layerOf(two.digest), layerOf(digest('other'))]
    const pushed = pushedManifest(one.body, ['a', 'b'], {
      requires,
      allow: given => {
        found = given
        refuse()
      },
    })
    await expect(holdings.putManifest(key, one.digest, pushed)).rejects.toThrow('the test says no')
    expect(found?.missing).toEqual([layerOf(digest('other'))])
    expect([...(found?.current ?? [])]).toMatchObject([['a', { digest: two.digest }]])
    expect(await holdings.manifest(key, one.digest)).toBeUndefined()
    expect(await holdings.tags(key, everything)).toEqual(['a'])
  })

  test('when one tag cannot be written, none has moved', async () => {
    await using rig = await openHoldings()
    const { holdings } = rig.assemble()
    const [one, two] = [manifestOf('one'), manifestOf('two')]
    await rig.put(holdings, key, one, ['a', 'b'])
    await mkdir(`${rig.store.layout.tag(key, tag('c'))}/in-the-way`, { recursive: true })
    await expect(rig.put(holdings, key, two, ['a', 'b', 'c', 'd'])).rejects.toThrow()
    await rm(rig.store.layout.tag(key, tag('c')), { recursive: true })
    for (const _ of ['from the index', 'from the records']) {
      const { holdings: seen } = rig.assemble()
      expect(await seen.tags(key, everything)).toEqual(['a', 'b'])
      expect(await seen.tag(key, tag('a'))).toMatchObject({ digest: one.digest })
      expect(await seen.tagsOf(key, two.digest)).toEqual([])
      await rig.loseIndex()
    }
  })
})

describe('a write that fails half-way', () => {
  test('leaves the index as its record is, or unsure where even that cannot be read', async () => {
    await using rig = await openHoldings()
    const { holdings } = rig.assemble()
    const [one, two] = [manifestOf('one'), manifestOf('two')]
    await rig.put(holdings, key, one, ['a', 'b'])
    expect(await holdings.tags(key, everything)).toEqual(['a', 'b'])
    const { records } = rig.store
    const [read, save] = [records.read.bind(records), records.save.bind(records)]
    records.save = async (path, ...more) => {
      await save(path, ...more)
      if (path.endsWith('/a')) {
        records.read = () => Promise.reject(new Error('EIO'))
        records.save = () => Promise.reject(new Error('EIO'))
        throw new Error('the folder could not be synced')
      }
    }
    await expect(rig.put(holdings, key, two, ['a'])).rejects.toThrow('synced')
    await expect(holdings.tag(key, tag('a'))).rejects.toThrow('EIO')
    await expect(holdings.tags(key, everything)).rejects.toThrow('EIO')
    Object.assign(records, { read, save })
    expect(await holdings.tag(key, tag('a'))).toMatchObject({ digest: two.digest })
    expect(await holdings.tags(key, everything)).toEqual(['a', 'b'])
    expect(await holdings.tagsOf(key, two.digest)).toEqual(['a'])
    expect(rig.lines.join()).toContain('could not be put back')
  })
})

describe('deleting', () => {
  test('a manifest takes its tags and its entry among the referrers along, and nothing else', async () => {
    await using rig = await openHoldings()
    const { holdings } = rig.assemble()
    const image = manifestOf('image')
    const signature = manifestOf('signature', [digest('layer')], image.digest)
    await rig.put(holdings, key, image, ['image'])
    await rig.put(holdings, key, signature, ['a', 'b'])
    let seen: readonly Tag[] = []
    const allow = (tags: readonly Tag[]) => {
      seen = tags
    }
    await expect(holdings.dropManifest(key, signature.digest, refuse)).rejects.toThrow('the test says no')
    expect(await holdings.tags(key, everything)).toEqual(['a', 'b', 'image'])
    expect(await holdings.dropManifest(key, signature.digest, allow)).toBe(true)
    expect(seen).toEqual(['a', 'b'])
    expect(await holdings.dropManifest(key, signature.digest, allow)).toBe(false)
    await rig.loseIndex()
    const { holdings: again } = rig.assemble()
    expect(await again.tags(key, everything)).toEqual(['image'])
    expect(await again.referrers(key, image.digest, everything)).toEqual([])
    expect(await again.parentsOf(key, digest('layer'))).toEqual([])
  })

  test('a blob is refused or not by what lists it', async () => {
    await using rig = await openHoldings()
    const { holdings } = rig.assemble()
    const layer = digest('layer')
    const image = manifestOf('image', [layer])
    await holdings.putBlob(key, layer, { size: 5 })
    await rig.put(holdings, key, image)
    await rig.loseIndex() // parents are found again in the manifests themselves
    const { holdings: again } = rig.assemble()
    let seen: readonly string[] = []
    const refuseParents = (parents: readonly string[]) => {
      seen = parents
      if (parents.length > 0) refuse()
    }
    await expect(again.dropBlob(key, layer, refuseParents)).rejects.toThrow('the test says no')
    expect(seen).toEqual([image.digest])
    expect(await again.holderOf(layer)).toEqual(key)
    await again.dropManifest(key, image.digest, () => {})
    expect(await again.dropBlob(key, layer, refuseParents)).toBe(true)
    expect(await again.dropBlob(key, layer, refuseParents)).toBe(false)
    expect(await again.blob(key, layer)).toBeUndefined()
    expect(await again.holderOf(layer)).toBeUndefined()
  })

  test('a blob that a push just relied on is not taken away under it', async () => {
    await using rig = await openHoldings()
    const { holdings } = rig.assemble()
    const layer = digest('layer')
    const image = manifestOf('image', [layer])
    await holdings.putBlob(key, layer, { size: 5 })
    const allow: PushedManifest['allow'] = ({ missing }) => {
      if (missing.length > 0) refuse()
    }
    const pushed = pushedManifest(image.body, [], { requires: [layerOf(layer)], allow })
    await rig.store.pushed.put(image.digest, image.body)
    const results = await Promise.allSettled([
      holdings.putManifest(key, image.digest, pushed),
      holdings.dropBlob(key, layer, parents => {
        if (parents.length > 0) refuse()
      }),
    ])
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    const isHeld = (await holdings.manifest(key, image.digest)) !== undefined
    expect((await holdings.blob(key, layer)) !== undefined).toBe(isHeld)
  })
})

describe('the index', () => {
  test('that a crash threw back answers nothing older than the records', async () => {
    await using rig = await openHoldings()
    const { holdings } = rig.assemble()
    const [one, two] = [manifestOf('one'), manifestOf('two')]
    await rig.put(holdings, key, one, ['moved', 'gone'])
    expect(await holdings.tags(key, everything)).toHaveLength(2)
    await rig.saveIndex()
    await rig.put(holdings, key, two, ['moved', 'new'])
    await holdings.dropTag(key, tag('gone'))
    await rig.crash()
    const { holdings: again } = rig.assemble()
    expect(await again.tag(key, tag('moved'))).toMatchObject({ digest: two.digest })
    expect(await again.tag(key, tag('gone'))).toBeUndefined()
    expect(await again.tags(key, everything)).toEqual(['moved', 'new'])
    expect(await again.tagsOf(key, one.digest)).toEqual([])
    expect(await again.tagsOf(key, two.digest)).toEqual(['moved', 'new'])
  })

  test('keeps no mark for what nobody ever pushed to', async () => {
    await using rig = await openHoldings()
    const { holdings, index } = rig.assemble()
    const nowhere = keyOf('no/where', '_local')
    expect(await holdings.tags(nowhere, everything)).toEqual([])
    expect(await holdings.referrers(nowhere, digest('s'), everything)).toEqual([])
    expect(await holdings.exists(nowhere)).toBe(false)
    expect(await index.tags(nowhere, everything)).toEqual({ answer: 'unknown' })
  })

  test('a damaged record counts as absent and is told of, an unreadable one is an error', async () => {
    await using rig = await openHoldings()
    const { holdings } = rig.assemble()
    await rig.put(holdings, key, manifestOf('one'), ['torn', 'poor', 'whole'])
    const { layout } = rig.store
    await writeFile(layout.tag(key, tag('torn')), '{"v":1,"dig')
    await writeFile(layout.tag(key, tag('poor')), '{"v":1}')
    await rig.loseIndex()
    const { holdings: again } = rig.assemble()
    expect(await again.tag(key, tag('torn'))).toBeUndefined()
    expect(await again.tag(key, tag('poor'))).toBeUndefined()
    expect(rig.lines.join()).toContain('does not say enough')
    expect(await again.tags(key, everything)).toEqual(['whole'])
    const loop = layout.tag(key, tag('loop'))
    await symlink(loop, loop)
    await expect(again.tag(key, tag('loop'))).resolves.toBeUndefined() // the listing was known whole before
    await rig.loseIndex()
    const { holdings: unsure } = rig.assemble()
    await expect(unsure.tag(key, tag('loop'))).rejects.toThrow('ELOOP')
    await expect(unsure.tags(key, everything)).rejects.toThrow('ELOOP')
    expect(await unsure.tag(key, tag('whole'))).toBeDefined()
  })

  test('a completion that takes long is told of with 503, goes on, and is there for the next who asks', async () => {
    const clock = new FakeClock()
    await using rig = await openHoldings({ clock })
    const { holdings } = rig.assemble()
    await rig.put(holdings, key, manifestOf('one'), ['a'])
    await rig.loseIndex()
    const { holdings: again } = rig.assemble()
    let goOn = () => {}
    const stopped = new Promise<void>(resolve => {
      goOn = resolve
    })
    const read = rig.store.records.read.bind(rig.store.records)
    rig.store.records.read = async path => {
      await stopped
      return read(path)
    }
    const asked = [again.tags(key, everything), again.tagsOf(key, digest('x'))]
    const answers = Promise.allSettled(asked)
    await clock.untilSleeping(2)
    clock.advance(10_000)
    for (const answer of await answers)
      expect(answer).toMatchObject({ reason: { code: 'UNAVAILABLE', retryAfterMs: 5000 } })
    goOn()
    expect(await again.tags(key, everything)).toEqual(['a'])
    await again.stop()
  })

  test.each([
    ['for a moment is waited for', 4, ['a']],
    ['for longer is told of with 503', Number.POSITIVE_INFINITY, { code: 'UNAVAILABLE' }],
  ])('an index that is away %s', async (_, awayFor, expected) => {
    await using rig = await openHoldings({ clock: new WithoutPauses() })
    const { holdings, index } = rig.assemble()
    await rig.put(holdings, key, manifestOf('one'), ['a'])
    const known = index.tags.bind(index)
    let asked = 0
    index.tags = async (...ask) => {
      asked += 1
      return asked > awayFor ? known(...ask) : { answer: 'unknown' }
    }
    const answer = await holdings.tags(key, everything).catch((error: unknown) => error)
    expect(answer).toMatchObject(expected)
    expect(asked).toBeGreaterThan(4)
    await holdings.stop()
  })

  test('stopping ends a completion', async () => {
    await using rig = await openHoldings()
    const { holdings } = rig.assemble()
    await rig.put(
      holdings,
      key,
      manifestOf('one'),
      Array.from({ length: 100 }, (_, at) => `t${at}`),
    )
    await rig.loseIndex()
    const { holdings: again } = rig.assemble()
    const asked = again.tags(key, everything).catch((error: unknown) => error)
    await again.stop()
    expect(await asked).toMatchObject({ code: 'UNAVAILABLE' })
  })
})

test('what many are promised at once is read and written down once', async () => {
  await using rig = await openHoldings()
  const { holdings } = rig.assemble()
  const layer = digest('layer')
  await holdings.putBlob(key, layer, { size: 5 })
  const read = rig.store.records.read.bind(rig.store.records)
  let reads = 0
  rig.store.records.read = path => {
    reads += 1
    return read(path)
  }
  const promised = await Promise.all(Array.from({ length: 50 }, () => holdings.renew(key, layer)))
  expect(new Set(promised)).toEqual(new Set([true]))
  expect(reads).toBeLessThan(5)
  await holdings.stop()
})

describe('pull times', () => {
  test('are kept once an hour, in the record too, and a push leaves them', async () => {
    const clock = new FakeClock(1000)
    await using rig = await openHoldings({ clock })
    const { holdings } = rig.assemble()
    const image = manifestOf('image')
    await rig.put(holdings, key, image)
    const pulledAt = async (seen = holdings) => (await seen.manifest(key, image.digest))?.pulledAt
    expect(await pulledAt()).toBeUndefined()
    const pull = () => holdings.notePull(key, image.digest)
    clock.advance(1000)
    pull()
    await holdings.stop()
    clock.advance(3_599_999)
    pull()
    await holdings.stop()
    expect(await pulledAt()).toBe(2000)
    clock.advance(1)
    pull()
    await holdings.stop()
    expect(await pulledAt()).toBe(3_602_000)
    await rig.put(holdings, key, image)
    await rig.loseIndex()
    expect(await pulledAt(rig.assemble().holdings)).toBe(3_602_000)
  })
})
