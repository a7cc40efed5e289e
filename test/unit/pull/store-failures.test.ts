/** A cache problem never fails a pull: followers of a flight whose disk gave out. */
import { describe, expect, test } from 'vitest'
import type { Digest } from '../../../src/oci/digest.ts'
import type { Partial } from '../../../src/store/partial.ts'
import { Store } from '../../../src/store/store.ts'
import {
  answering,
  flightOf,
  giving,
  openRig,
  PushedBody,
  readAll,
  readUntilBroken,
  refusing,
  ScriptedSource,
  someBlob,
  untilWritten,
} from './flight-rig.ts'

const plain = { expectedSize: undefined, unverified: false }
const full = () => Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })

/** Has no room for any partial. */
class ClosedStore extends Store {
  override begin(): Promise<Partial> {
    return Promise.reject(full())
  }
}

/** Fails the first write beyond 100 000 bytes of a partial, and would take the next one again. */
class MomentarilyFullStore extends Store {
  override async begin(digest: Digest): Promise<Partial> {
    const partial = await super.begin(digest)
    const append = partial.append.bind(partial)
    let failed = false
    partial.append = async chunks => {
      const after = partial.written + chunks.reduce((sum, { length }) => sum + length, 0)
      if (failed || after <= 100_000) return append(chunks)
      failed = true
      throw full()
    }
    return partial
  }
}

/** Takes the bytes but cannot put them under their name. */
class UncommittedStore extends Store {
  override async commit(partial: Partial): Promise<void> {
    await partial.discard()
    throw full()
  }
}

describe('a disk that takes nothing', () => {
  test('lets each reader go on alone, a few at a time, and all get the whole', async () => {
    await using rig = await openRig({ store: ClosedStore })
    const { content, digest } = someBlob(300_000)
    const source = new ScriptedSource('a', ...Array.from({ length: 9 }, () => giving(content)))
    const readers = Array.from({ length: 9 }, async () => {
      const follower = rig.flights.follow(digest, source, plain)
      expect(await follower.size()).toBe(content.length)
      const body = await readAll(follower)
      follower.close()
      return body.equals(content)
    })
    expect(await Promise.all(readers)).toEqual(readers.map(() => true))
    expect(await rig.holds(digest)).toBe(false)
  })

  test('lets no more than sixteen of them ask upstream at once, and who leaves makes room', async () => {
    await using rig = await openRig({ store: ClosedStore })
    const { content, digest } = someBlob(300_000)
    const source = new ScriptedSource('a', ...Array.from({ length: 17 }, () => giving(content)))
    const followers = Array.from({ length: 18 }, () => rig.flights.follow(digest, source, plain))
    const sizes = followers.map(follower => follower.size())
    await Promise.all(sizes.slice(0, 16))
    expect(source.asked).toHaveLength(16)
    followers[16]?.close()
    followers[0]?.close()
    expect(await sizes[17]).toBe(content.length)
    await expect(sizes[16]).rejects.toThrow('the reader has left')
    expect(source.asked).toHaveLength(17)
    for (const follower of followers) follower.close()
  })

  test('shows nobody all of a blob that is wrong', async () => {
    await using rig = await openRig({ store: ClosedStore })
    const { content, digest } = someBlob(300_000)
    content[299_999] = (content[299_999] ?? 0) ^ 1
    const follower = rig.flights.follow(digest, new ScriptedSource('a', giving(content)), plain)
    const { got, error } = await readUntilBroken(follower)
    expect(error).toMatchObject({ failure: 'corrupt' })
    expect(got.length).toBeLessThan(content.length)
    follower.close()
  })

  test("hands on upstream's refusal", async () => {
    await using rig = await openRig({ store: ClosedStore })
    const { digest } = someBlob(10)
    const follower = rig.flights.follow(digest, new ScriptedSource('a', refusing('not-found')), plain)
    await expect(follower.size()).rejects.toMatchObject({ failure: 'not-found', status: 404 })
    follower.close()
  })
})

describe('a disk that fills up on the way', () => {
  test('lets readers finish what is there and then go on alone from it', async () => {
    await using rig = await openRig({ store: MomentarilyFullStore })
    const { content, digest } = someBlob(500_000)
    const source = new ScriptedSource('a', ...Array.from({ length: 3 }, () => giving(content)))
    const followers = [1, 2].map(() => rig.flights.follow(digest, source, plain))
    const bodies = await Promise.all(
      followers.map(async follower => {
        const body = await readAll(follower)
        follower.close()
        return body
      }),
    )
    for (const body of bodies) expect(body.equals(content)).toBe(true)
    const [first, ...alone] = source.positions
    expect(first).toBe(0)
    for (const position of alone) expect(position).toBeGreaterThan(0)
    await rig.deps.background.settled()
    expect(await rig.holds(digest)).toBe(false)
    expect(await rig.partials()).toEqual([])
  })

  test('writes nothing more, however slowly the rest comes', async () => {
    await using rig = await openRig({ store: MomentarilyFullStore })
    const { content, digest } = someBlob(500_000)
    const body = new PushedBody()
    const source = new ScriptedSource('a', answering(body, { total: content.length }), giving(content))
    const follower = rig.flights.follow(digest, source, plain)
    const flight = flightOf(rig, digest)
    body.push(content.subarray(0, 100_000))
    await untilWritten(flight, 100_000)
    body.push(content.subarray(100_000, 200_000))
    await new Promise(resolve => setImmediate(resolve))
    body.end(content.subarray(200_000))
    expect((await readAll(follower)).equals(content)).toBe(true)
    expect(flight.watermark).toBe(100_000)
    follower.close()
  })

  test('does not go on alone from a later place than asked', async () => {
    await using rig = await openRig({ store: MomentarilyFullStore })
    const { content, digest } = someBlob(500_000)
    const elsewhere = new PushedBody()
    const source = new ScriptedSource(
      'a',
      giving(content),
      answering(elsewhere, { total: content.length, first: 400_000 }),
    )
    const follower = rig.flights.follow(digest, source, plain)
    const { got, error } = await readUntilBroken(follower)
    expect(error).toMatchObject({ failure: 'corrupt' })
    expect(got.equals(content.subarray(0, got.length))).toBe(true)
    expect(elsewhere.destroyed).toBe(true)
    follower.close()
  })
})

test('a blob that cannot be committed is right for its readers, and no repository is said to hold it', async () => {
  await using rig = await openRig({ store: UncommittedStore })
  const { content, digest } = someBlob(300_000)
  const source = new ScriptedSource('a', giving(content))
  const follower = rig.flights.follow(digest, source, plain)
  expect((await readAll(follower)).equals(content)).toBe(true)
  follower.close()
  await rig.deps.background.settled()
  expect(source.servedSizes).toEqual([])
  expect(rig.failures).toEqual([])
  expect(rig.flights.find(digest)).toBeUndefined()
})
