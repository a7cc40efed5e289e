/** The running count of what a namespace holds is what its records say, whatever happens at the same time. */
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Digest } from '../../../src/oci/digest.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { localKey } from '../../../src/pull/target.ts'
import { runs } from '../../support/runs.ts'
import {
  bodyOf,
  imageOf,
  longMs,
  openCollected,
  pushedOf,
  putManifest,
  type Rig,
} from '../collect/collect-rig.ts'

const names = ['one', 'two'] as const
const layers = [10, 200, 3_000].map(size => pushedOf(Buffer.alloc(size, size)))
const images = layers.map((layer, nth) => imageOf(`image ${nth}`, [layer]))
const roomy = { quota: { bytes: 2 ** 40, tags: 2 ** 30 } }

const number = fc.nat(2)
const place = fc.record({ name: fc.constantFrom(...names), number })
const step = fc.oneof(
  fc.record({ kind: fc.constantFrom('push', 'session', 'mount', 'delete blob', 'delete manifest'), place }),
  fc.record({
    kind: fc.constant('manifest'),
    place,
    tags: fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 3 }),
  }),
  fc.record({ kind: fc.constant('delete tag'), place, tags: fc.constantFrom(['a'], ['b'], ['c']) }),
  fc.record({ kind: fc.constantFrom('recount', 'collect', 'later'), place }),
)
interface Step {
  readonly kind: string
  readonly place: { readonly name: string; readonly number: number }
  readonly tags?: readonly string[]
}

async function take(rig: Rig, { kind, place: { name, number: nth }, tags = [] }: Step): Promise<unknown> {
  const { push, holdings, clock } = rig
  const [layer, image] = [layers[nth], images[nth]]
  if (!layer || !image) throw new Error('there is no such layer')
  const local = rig.at(name)
  const reference = (digest: Digest) => ({ kind: 'digest', digest }) as const
  switch (kind) {
    case 'push':
      return push.uploads.push(local, layer.digest, bodyOf(layer))
    case 'session': {
      const { id } = await push.uploads.start(local)
      const chunk = { ...bodyOf(layer), range: undefined }
      return push.uploads.complete(local, id, { digest: layer.digest, chunk })
    }
    case 'mount':
      return push.mounts.mount(local, layer.digest, { local: rig.at(name === 'one' ? 'two' : 'one') })
    case 'manifest':
      return putManifest(rig, name, image, ...new Set(tags))
    case 'delete blob':
      return push.blobs.delete(local, layer.digest)
    case 'delete manifest':
      return push.manifests.delete(local, reference(image.digest))
    case 'delete tag':
      return push.manifests.delete(local, { kind: 'tag', tag: tags[0] as Tag })
    case 'recount':
      return holdings.usage.count('local')
    case 'collect':
      return rig.collection().collect()
    default:
      return clock.advance(longMs)
  }
}

/** As the records' files say. */
async function recordsOf(rig: Rig) {
  const held = { bytes: 0, tags: 0 }
  for (const name of names) {
    const { tags, manifests, blobs } = await rig.held(name)
    held.tags += tags.length
    for (const digest of [...manifests, ...blobs])
      held.bytes += (await stat(rig.store.layout.pushed(digest))).size
  }
  return held
}

test('the running count equals the records after any pushes, mounts, deletes and collections, also during a recount', {
  timeout: 120_000,
}, async () => {
  const history = fc.array(fc.array(step, { minLength: 1, maxLength: 6 }), { maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(history, async batches => {
      await using rig = await openCollected({ ...roomy, untaggedMs: 1 })
      await rig.push.quotas.ready(rig.at('one').namespace)
      for (const batch of batches) await Promise.allSettled(batch.map(one => take(rig, one)))
      expect(rig.holdings.usage.known('local')).toEqual(await recordsOf(rig))
      await rig.push.quotas.recount()
      expect(rig.holdings.usage.known('local')).toEqual(await recordsOf(rig))
      rig.push.quotas.measure([rig.at('one').namespace])
      const [used] = (await rig.metrics.quotaBytesUsed.get()).values
      expect(used?.value).toBe((await recordsOf(rig)).bytes) // nothing stays reserved
    }),
    { ...runs(12), endOnFailure: true },
  )
})

afterEach(() => void vi.restoreAllMocks())

describe('while it is not known how much a namespace holds', () => {
  /** A store whose records cannot be listed before `go`. */
  async function slow() {
    const rig = await openCollected(roomy)
    const [layer] = layers
    if (!layer) throw new Error('there is no layer')
    await rig.push.uploads.push(rig.at('one'), layer.digest, bodyOf(layer))
    await take(rig, { kind: 'manifest', place: { name: 'one', number: 0 }, tags: ['a'] })
    rig.push.quotas.forget()
    const gate = new AbortController()
    const { names: recordNames } = rig.store
    const listed = recordNames.in.bind(recordNames)
    const listing = vi.spyOn(recordNames, 'in').mockImplementation(async function* gated(folder, count) {
      if (!gate.signal.aborted) await once(gate.signal, 'abort')
      yield* listed(folder, count)
    })
    return { rig, listing, go: () => gate.abort() }
  }

  test('a push waits for it', async () => {
    const { rig, go } = await slow()
    await using _ = rig
    const pushing = take(rig, { kind: 'push', place: { name: 'two', number: 1 } })
    await rig.clock.untilSleeping()
    go()
    await pushing
    expect(rig.holdings.usage.known('local')).toEqual(await recordsOf(rig))
  })

  test('a push waits no longer than five seconds, and is told to try again', async () => {
    const { rig, go } = await slow()
    await using _ = rig
    const pushing = take(rig, { kind: 'manifest', place: { name: 'two', number: 1 } })
    const refused = expect(pushing).rejects.toMatchObject({ code: 'UNAVAILABLE', retryAfterMs: 5_000 })
    await rig.clock.untilSleeping()
    rig.clock.advance(5_000)
    await refused
    const again = take(rig, { kind: 'manifest', place: { name: 'two', number: 1 } })
    go()
    await again
    expect(await recordsOf(rig)).toEqual(rig.holdings.usage.known('local'))
  })

  test('a push that comes after all is to be counted anew does not wait for the count before', async () => {
    const { rig, listing, go } = await slow()
    await using _ = rig
    const before = expect(rig.push.quotas.ready(rig.at('one').namespace)).rejects.toThrow('begins anew')
    await vi.waitFor(() => expect(listing).toHaveBeenCalled(), { timeout: 5_000 })
    rig.push.quotas.forget()
    const pushing = take(rig, { kind: 'push', place: { name: 'two', number: 1 } })
    await rig.clock.untilSleeping(2)
    go()
    await pushing
    await before
    expect(rig.holdings.usage.known('local')).toEqual(await recordsOf(rig))
  })

  test('other work goes on, and is counted', async () => {
    const { rig, go } = await slow()
    await using _ = rig
    const counting = rig.push.quotas.ready(rig.at('one').namespace)
    const deleting = take(rig, { kind: 'delete tag', place: { name: 'one', number: 0 }, tags: ['a'] })
    await vi.waitFor(async () => expect((await rig.held('one')).tags).toEqual([]), { timeout: 5_000 })
    go()
    await Promise.all([counting, deleting])
    expect(rig.holdings.usage.known('local')).toEqual(await recordsOf(rig))
  })
})

describe('a body that is on its way', () => {
  const [small, large] = [pushedOf(Buffer.alloc(600, 1)), pushedOf(Buffer.alloc(600, 2))]

  /** Half of it comes at once, the rest after `go`, or nothing any more after `cut`. */
  function halting({ body }: { body: Buffer }, more = Buffer.alloc(0)) {
    const { promise: gate, resolve: go, reject } = Promise.withResolvers<void>()
    gate.catch(() => {})
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
    const half = body.length / 2
    async function* chunks() {
      yield body.subarray(0, half)
      begin()
      await gate
      yield Buffer.concat([body.subarray(half), more])
    }
    const chunk = { length: undefined, chunks: chunks(), abort: reject, range: undefined }
    return { chunk, begun, go: () => go(), cut: () => reject(new Error('the client left')) }
  }

  async function limited() {
    const rig = await openCollected({ quota: { bytes: 1_000 } })
    const local = rig.at('one')
    const used = async () => {
      rig.push.quotas.measure([local.namespace])
      return (await rig.metrics.quotaBytesUsed.get()).values[0]?.value
    }
    await rig.push.uploads.push(local, small.digest, bodyOf(small))
    return { rig, local, used, uploads: rig.push.uploads }
  }

  test.each(['whole', 'session'])('of what is held is not free once that was deleted: %s', async way => {
    const { rig, local, uploads } = await limited()
    await using _ = rig
    const { chunk, begun, go } = halting(small)
    vi.spyOn(rig.store.pushed, 'size').mockResolvedValueOnce(undefined) // its bytes are lost: they are taken again
    const again =
      way === 'whole'
        ? uploads.push(local, small.digest, chunk)
        : uploads.start(local).then(({ id }) => uploads.complete(local, id, { digest: small.digest, chunk }))
    const refused = expect(again).rejects.toMatchObject({ code: 'DENIED' })
    await begun
    await rig.push.blobs.delete(local, small.digest)
    await uploads.push(local, large.digest, bodyOf(large))
    go()
    await refused
    expect((await recordsOf(rig)).bytes).toBe(600)
  })

  test('said to be what is held is free up to the bytes of that', async () => {
    const { rig, local, used, uploads } = await limited()
    await using _ = rig
    const { id } = await uploads.start(local)
    const { chunk, go } = halting(small, Buffer.alloc(500))
    go()
    const closing = uploads.complete(local, id, { digest: small.digest, chunk })
    await expect(closing).rejects.toMatchObject({ code: 'DENIED' })
    expect(await used()).toBe(600)
  })

  test('said to be what is held, and left, is counted as every open upload', async () => {
    const { rig, local, used, uploads } = await limited()
    await using _ = rig
    const { id } = await uploads.start(local)
    const { chunk, begun, cut } = halting(small)
    const closing = uploads.complete(local, id, { digest: small.digest, chunk })
    const left = expect(closing).rejects.toThrow('the client left')
    await begun
    cut()
    await left
    expect(await used()).toBe(900)
    await uploads.cancel(local, id)
    expect(await used()).toBe(600)
  })

  test('goes on while all is counted anew, and is counted once', async () => {
    const { rig, local, used, uploads } = await limited()
    await using _ = rig
    await rig.push.blobs.delete(local, small.digest)
    const { id } = await uploads.start(local)
    const { chunk, begun, go } = halting(large)
    const closing = uploads.complete(local, id, { digest: large.digest, chunk })
    await begun
    rig.push.quotas.forget()
    go()
    await closing
    await rig.push.quotas.ready(local.namespace)
    expect(await used()).toBe(600)
    expect(rig.holdings.usage.known('local')).toEqual(await recordsOf(rig))
  })

  test('leaves nothing reserved, however often it fails', async () => {
    const { rig, local, used, uploads } = await limited()
    await using _ = rig
    for (let nth = 0; nth < 300; nth += 1) {
      const { chunk, begun, cut } = halting(large)
      const pushing = uploads.push(local, large.digest, nth % 2 === 0 ? chunk : bodyOf(large))
      const failed = expect(pushing).rejects.toThrow()
      if (nth % 2 === 0) await begun
      cut()
      await failed
    }
    expect(await used()).toBe(600)
  })
})

test('a quota that a reload brings counts the manifest whose record is being written', async () => {
  await using rig = await openCollected()
  const { records, names: recordNames, layout } = rig.store
  await take(rig, { kind: 'push', place: { name: 'one', number: 0 } })
  const { promise: gate, resolve: go } = Promise.withResolvers<void>()
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
  const save = records.save.bind(records)
  vi.spyOn(records, 'save').mockImplementationOnce(async (...asked) => {
    begin()
    await gate
    return save(...asked)
  })
  const pushing = take(rig, { kind: 'manifest', place: { name: 'one', number: 0 }, tags: ['a'] })
  await begun
  Object.assign(rig.at('one').namespace, roomy)
  rig.push.quotas.forget()
  const listing = vi.spyOn(recordNames, 'in')
  const counting = rig.push.quotas.ready(rig.at('one').namespace)
  const last = layout.blobs(localKey(rig.at('one')))
  await vi.waitFor(() => expect(listing.mock.calls.map(([folder]) => folder)).toContain(last))
  go()
  await Promise.all([pushing, counting])
  expect(rig.holdings.usage.known('local')).toEqual(await recordsOf(rig))
})

describe('a recount', () => {
  test('holds up no push while the bytes of another are on their way to where they stay', async () => {
    await using rig = await openCollected(roomy)
    await rig.push.quotas.ready(rig.at('one').namespace)
    const { promise: gate, resolve: go } = Promise.withResolvers<void>()
    const put = rig.store.pushed.put.bind(rig.store.pushed)
    vi.spyOn(rig.store.pushed, 'put').mockImplementationOnce(async (...asked) => {
      await gate
      return put(...asked)
    })
    const slow = take(rig, { kind: 'push', place: { name: 'one', number: 0 } })
    const counting = rig.push.quotas.recount()
    await take(rig, { kind: 'push', place: { name: 'one', number: 1 } })
    await take(rig, { kind: 'push', place: { name: 'one', number: 2 } })
    go()
    await Promise.all([slow, counting])
    expect(rig.holdings.usage.known('local')).toEqual(await recordsOf(rig))
  })

  test('that fails leaves the doubt which it was to end', async () => {
    await using rig = await openCollected(roomy)
    const { usage } = rig.holdings
    await rig.push.quotas.ready(rig.at('one').namespace)
    vi.spyOn(rig.store.names, 'in').mockImplementationOnce(() => {
      throw new Error('the disk is gone')
    })
    await take(rig, { kind: 'push', place: { name: 'one', number: 0 } })
    await expect(usage.count('local')).rejects.toThrow('the disk is gone')
    expect(usage.isDoubtful('local')).toBe(true)
  })
})
