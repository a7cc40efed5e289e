/** Flights: one fetch for all who want a blob, whatever happens on the way. */
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../../../src/oci/digest.ts'
import {
  answering,
  flightOf,
  giving,
  heldBack,
  ignoringRange,
  openRig,
  PushedBody,
  readAll,
  readUntilBroken,
  refusing,
  ScriptedSource,
  someBlob,
  untilWritten,
} from '../flight-rig.ts'

const plain = { expectedSize: undefined, unverified: false }
const mib = 1024 * 1024
/** So large that a flight is not worth finishing at its start. */
const large = Buffer.alloc(100 * mib, 'large')
const largeDigest = digestOf(large)

describe('a flight and its followers', () => {
  test('fifty followers make one request and read the same bytes', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(300_000)
    const source = new ScriptedSource('a', giving(content))
    const followers = Array.from({ length: 50 }, () => rig.flights.follow(digest, source, plain))
    const bodies = await Promise.all(
      followers.map(async follower => {
        expect(await follower.size()).toBe(content.length)
        return readAll(follower)
      }),
    )
    for (const body of bodies) expect(body.equals(content)).toBe(true)
    expect(source.positions).toEqual([0])
    for (const follower of followers) follower.close()
    await rig.deps.background.settled()
    expect(source.servedSizes).toEqual([content.length])
    expect(await rig.deps.store.read(digest)).toEqual(content)
    expect(await rig.partials()).toEqual([])
    expect(rig.flights.find(digest)).toBeUndefined()
  })

  test('one who joins late reads what came before', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(300_000)
    const body = new PushedBody()
    const source = new ScriptedSource('a', answering(body, { total: content.length }))
    const early = rig.flights.follow(digest, source, plain)
    body.push(content.subarray(0, 200_000))
    await untilWritten(flightOf(rig, digest), 200_000)
    const late = rig.flights.follow(digest, source, plain)
    body.end(content.subarray(200_000))
    expect((await readAll(late)).equals(content)).toBe(true)
    expect((await readAll(early)).equals(content)).toBe(true)
    expect(source.asked).toHaveLength(1)
    early.close()
    late.close()
  })

  test('the last 64 KiB wait for the digest, what comes before does not', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(200_000)
    const body = new PushedBody()
    const follower = rig.flights.follow(
      digest,
      new ScriptedSource('a', answering(body, { total: 200_000 })),
      plain,
    )
    body.push(content)
    await untilWritten(flightOf(rig, digest), 200_000)
    const target = Buffer.alloc(content.length)
    expect(Buffer.concat(await follower.read(target, 0))).toHaveLength(200_000 - heldBack)
    let shown = false
    const tail = follower.read(target, 200_000 - heldBack).then(chunks => {
      const bytes = Buffer.concat(chunks)
      shown = true
      return bytes
    })
    await new Promise(resolve => setImmediate(resolve))
    expect(shown).toBe(false)
    body.end()
    expect(await tail).toHaveLength(heldBack)
    follower.close()
  })

  test.each([
    0,
    1,
    heldBack - 1,
    heldBack,
  ])('of %i bytes nothing is told before all are verified', async size => {
    await using rig = await openRig()
    const { content, digest } = someBlob(size)
    const body = new PushedBody()
    const follower = rig.flights.follow(
      digest,
      new ScriptedSource('a', answering(body, { total: size })),
      plain,
    )
    let told = false
    const asked = follower.size().then(found => {
      told = true
      return found
    })
    if (size > 0) body.push(content)
    await untilWritten(flightOf(rig, digest), size)
    expect(told).toBe(false)
    body.end()
    expect(await asked).toBe(size)
    expect((await readAll(follower)).equals(content)).toBe(true)
    follower.close()
    await rig.deps.background.settled()
    expect(await rig.deps.store.size(digest)).toBe(size)
  })

  test('a sha512 blob is verified by its own algorithm', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(100_000, 'sha512')
    const follower = rig.flights.follow(digest, new ScriptedSource('a', giving(content)), plain)
    expect((await readAll(follower)).equals(content)).toBe(true)
    follower.close()
    await rig.deps.background.settled()
    expect(await rig.holds(digest)).toBe(true)
  })

  test.each([10_000, 300_000])('of %i bytes without a length the end is known when it comes', async size => {
    await using rig = await openRig()
    const { content, digest } = someBlob(size)
    const body = new PushedBody()
    const follower = rig.flights.follow(digest, new ScriptedSource('a', answering(body, {})), plain)
    body.end(content)
    expect([undefined, size]).toContain(await follower.size())
    expect((await readAll(follower)).equals(content)).toBe(true)
    follower.close()
    await rig.deps.background.settled()
    expect(await rig.deps.store.size(digest)).toBe(size)
  })

  test('a closed range of an unfinished blob is shown as it comes', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(200_000)
    const body = new PushedBody()
    const source = new ScriptedSource('a', answering(body, { total: 200_000 }))
    const follower = rig.flights.follow(digest, source, { ...plain, unverified: true })
    body.push(content)
    await untilWritten(flightOf(rig, digest), 200_000)
    expect(Buffer.concat(await follower.read(Buffer.alloc(content.length), 0))).toHaveLength(200_000)
    body.end()
    follower.close()
  })

  test('readers and flights are counted, and counted off', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(1_000)
    const source = new ScriptedSource('a', giving(content))
    const followers = [rig.flights.follow(digest, source, plain), rig.flights.follow(digest, source, plain)]
    const waiters = async () => (await rig.deps.metrics.flightWaiters.get()).values[0]?.value
    expect(await waiters()).toBe(2)
    for (const follower of followers) {
      await readAll(follower)
      follower.close()
      follower.close()
    }
    await rig.deps.background.settled()
    expect(await waiters()).toBe(0)
    expect((await rig.deps.metrics.flights.get()).values[0]?.value).toBe(0)
  })
})

describe('bytes that are wrong', () => {
  test('every reader breaks short of the whole, nothing stays, and the next pull is right', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(300_000)
    const wrong = Buffer.from(content)
    wrong[150_000] = (wrong[150_000] ?? 0) ^ 1
    const source = new ScriptedSource('a', giving(wrong), giving(content))
    const followers = [1, 2, 3].map(() => rig.flights.follow(digest, source, plain))
    for (const { got, error } of await Promise.all(followers.map(readUntilBroken))) {
      expect(error).toMatchObject({ failure: 'corrupt', status: 503 })
      expect(got.length).toBeLessThanOrEqual(300_000 - heldBack)
    }
    for (const follower of followers) follower.close()
    await rig.deps.background.settled()
    expect(await rig.partials()).toEqual([])
    expect(await rig.holds(digest)).toBe(false)
    expect(source.servedSizes).toEqual([])
    const again = rig.flights.follow(digest, source, plain)
    expect((await readAll(again)).equals(content)).toBe(true)
    again.close()
  })

  test('a small one that is wrong is an error before any byte', async () => {
    await using rig = await openRig()
    const follower = rig.flights.follow(
      digestOf(Buffer.from('right')),
      new ScriptedSource('a', giving(Buffer.from('wrong'))),
      plain,
    )
    await expect(follower.size()).rejects.toMatchObject({ failure: 'corrupt' })
    follower.close()
  })

  test('a length other than the manifest lists is refused before any byte', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(300_000)
    const source = new ScriptedSource('a', giving(content), giving(content))
    const follower = rig.flights.follow(digest, source, { ...plain, expectedSize: 299_999 })
    await expect(follower.size()).rejects.toMatchObject({ failure: 'corrupt' })
    expect((await readUntilBroken(follower)).got).toHaveLength(0)
    follower.close()
  })

  test.each([
    ['more', 1],
    ['less', -1],
  ])('%s bytes than announced never end cleanly', async (_, difference) => {
    await using rig = await openRig()
    const { content, digest } = someBlob(200_000)
    const total = content.length - difference
    const answers = Array.from({ length: 5 }, () => giving(content, { total }))
    const follower = rig.flights.follow(digest, new ScriptedSource('a', ...answers), plain)
    const { got, error } = await readUntilBroken(follower)
    expect(error).toBeInstanceOf(Error)
    expect(got.length).toBeLessThan(total)
    follower.close()
    await rig.deps.background.settled()
    expect(await rig.holds(digest)).toBe(false)
  })
})

describe('a body that breaks', () => {
  test('is gone on with from where it broke, and readers see one body', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(300_000)
    const source = new ScriptedSource(
      'a',
      giving(content, { upTo: 100_000 }),
      refusing('server-error'),
      giving(content, { upTo: 250_000 }),
      giving(content),
    )
    const follower = rig.flights.follow(digest, source, plain)
    expect((await readAll(follower)).equals(content)).toBe(true)
    expect(source.positions).toEqual([0, 100_000, 100_000, 250_000])
    expect(source.asked.map(({ attempt }) => attempt)).toEqual([0, 1, 2, 3])
    follower.close()
  })

  test('is gone on with although upstream ignores ranges', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(300_000)
    const source = new ScriptedSource('a', giving(content, { upTo: 123_456 }), ignoringRange(content))
    const follower = rig.flights.follow(digest, source, plain)
    expect((await readAll(follower)).equals(content)).toBe(true)
    follower.close()
  })

  test('is not gone on with from a later place than asked, nor with another length, but asked for whole at last', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(300_000)
    const late = new PushedBody()
    const source = new ScriptedSource(
      'a',
      giving(content, { upTo: 100_000 }),
      answering(late, { total: content.length, first: 100_001 }),
      giving(content, { total: content.length + 1 }),
      giving(content),
    )
    const follower = rig.flights.follow(digest, source, plain)
    expect((await readAll(follower)).equals(content)).toBe(true)
    expect(late.destroyed).toBe(true)
    expect(source.positions).toEqual([0, 100_000, 100_000, 0])
    follower.close()
  })

  test('is given up after three more tries without progress, and its bytes are kept', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(300_000)
    const source = new ScriptedSource(
      'a',
      giving(content, { upTo: 100_000 }),
      refusing('timeout'),
      refusing('unreachable'),
      refusing('server-error'),
      giving(content),
    )
    const first = rig.flights.follow(digest, source, plain)
    const { got, error } = await readUntilBroken(first)
    expect(error).toMatchObject({ failure: 'server-error' })
    expect(got.equals(content.subarray(0, 100_000))).toBe(true)
    first.close()
    const second = rig.flights.follow(digest, source, plain)
    expect((await readAll(second)).equals(content)).toBe(true)
    expect(source.positions).toEqual([0, 100_000, 100_000, 0, 100_000])
    second.close()
  })

  test('before its first byte is tried once more', async () => {
    await using rig = await openRig()
    const { digest } = someBlob(10)
    const source = new ScriptedSource('a', refusing('unreachable'), refusing('timeout'))
    const follower = rig.flights.follow(digest, source, plain)
    await expect(follower.size()).rejects.toMatchObject({ failure: 'timeout', status: 504 })
    expect(source.asked).toHaveLength(2)
    follower.close()
    await rig.deps.background.settled()
    expect(await rig.partials()).toEqual([])
  })

  test.each([
    'rate-limited',
    'resting',
    'loop',
  ] as const)('and then is answered %s keeps its bytes for a later flight', async failure => {
    await using rig = await openRig()
    const { content, digest } = someBlob(300_000)
    const source = new ScriptedSource(
      'a',
      giving(content, { upTo: 100_000 }),
      refusing(failure),
      giving(content),
    )
    const first = rig.flights.follow(digest, source, plain)
    expect((await readUntilBroken(first)).error).toMatchObject({ failure })
    first.close()
    const second = rig.flights.follow(digest, source, plain)
    expect((await readAll(second)).equals(content)).toBe(true)
    expect(source.positions).toEqual([0, 100_000, 100_000])
    second.close()
  })

  test('and then is found corrupt again and again keeps nothing', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(300_000)
    const answers = Array.from({ length: 3 }, () => refusing('corrupt'))
    const source = new ScriptedSource('a', giving(content, { upTo: 100_000 }), ...answers)
    const follower = rig.flights.follow(digest, source, plain)
    expect((await readUntilBroken(follower)).error).toMatchObject({ failure: 'corrupt' })
    follower.close()
    await rig.deps.background.settled()
    expect(await rig.partials()).toEqual([])
  })
})

describe('a refusal', () => {
  test('ends only its own waiters, and the next source goes on from the same bytes', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(300_000)
    const body = new PushedBody()
    const denied = new ScriptedSource('a', answering(body, { total: content.length }), refusing('denied'))
    const allowed = new ScriptedSource('b', giving(content))
    const losers = [rig.flights.follow(digest, denied, plain), rig.flights.follow(digest, denied, plain)]
    const winner = rig.flights.follow(digest, allowed, plain)
    body.push(content.subarray(0, 100_000))
    await untilWritten(flightOf(rig, digest), 100_000)
    body.breakOff()
    for (const loser of losers) {
      expect((await readUntilBroken(loser)).error).toMatchObject({ failure: 'denied' })
      loser.close()
    }
    expect((await readAll(winner)).equals(content)).toBe(true)
    expect(allowed.positions).toEqual([100_000])
    winner.close()
    await rig.deps.background.settled()
    expect(denied.servedSizes).toEqual([])
    expect(allowed.servedSizes).toEqual([content.length])
  })

  test('of everybody is told to everybody with its own reason', async () => {
    await using rig = await openRig()
    const { digest } = someBlob(10)
    const one = rig.flights.follow(digest, new ScriptedSource('a', refusing('denied')), plain)
    const other = rig.flights.follow(digest, new ScriptedSource('b', refusing('not-found')), plain)
    await expect(one.size()).rejects.toMatchObject({ failure: 'denied', status: 403 })
    await expect(other.size()).rejects.toMatchObject({ failure: 'not-found', status: 404 })
    one.close()
    other.close()
  })

  test('does not take the file away from a reader who still reads what was there before it', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(300_000)
    const body = new PushedBody()
    const denied = new ScriptedSource('a', answering(body, { total: content.length }), refusing('denied'))
    const slow = rig.flights.follow(digest, denied, plain)
    const quick = rig.flights.follow(digest, new ScriptedSource('b', giving(content)), plain)
    body.push(content.subarray(0, 100_000))
    const flight = flightOf(rig, digest)
    await untilWritten(flight, 100_000)
    body.breakOff()
    expect((await readAll(quick)).equals(content)).toBe(true)
    quick.close()
    await rig.deps.background.settled()
    const shown = Buffer.concat(await slow.read(Buffer.alloc(50_000), 0))
    expect(shown.equals(content.subarray(0, 50_000))).toBe(true)
    slow.close()
  })

  test('of a scope whose readers come back and go does not end the flight under the others', async () => {
    await using rig = await openRig()
    const bodies = [new PushedBody(), new PushedBody()] as const
    const total = large.length
    const digest = largeDigest
    const refused = new ScriptedSource('a', answering(bodies[0], { total }), refusing('denied'))
    const old = [rig.flights.follow(digest, refused, plain), rig.flights.follow(digest, refused, plain)]
    const allowed = new ScriptedSource('b', answering(bodies[1], { total }))
    const leaving = rig.flights.follow(digest, allowed, plain)
    const flight = flightOf(rig, digest)
    while (!flight.sized) await flight.changed.next()
    bodies[0].breakOff()
    while (flight.refusal('a') === undefined) await flight.changed.next()
    const returned = rig.flights.follow(digest, refused, plain)
    leaving.close()
    for (const follower of old) follower.close()
    bodies[1].end(large)
    expect((await readAll(returned)).length).toBe(total)
    returned.close()
  })
})

describe('a flight that nobody follows any more', () => {
  test.each([
    [24 * mib, false],
    [25 * mib, true],
  ])('with %i of 100 MiB here: goes on is %s', async (here, goesOn) => {
    await using rig = await openRig()
    const body = new PushedBody()
    const source = new ScriptedSource('a', answering(body, { total: large.length }))
    const follower = rig.flights.follow(largeDigest, source, plain)
    body.push(large.subarray(0, here))
    await untilWritten(flightOf(rig, largeDigest), here)
    follower.close()
    expect(rig.flights.find(largeDigest) !== undefined).toBe(goesOn)
    if (goesOn) body.end(large.subarray(here))
    await rig.deps.background.settled()
    expect(await rig.holds(largeDigest)).toBe(goesOn)
    expect(await rig.partials()).toHaveLength(goesOn ? 0 : 2)
  })

  test('goes on when no more than 64 MiB remain', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(mib)
    const body = new PushedBody()
    const follower = rig.flights.follow(
      digest,
      new ScriptedSource('a', answering(body, { total: mib })),
      plain,
    )
    const flight = flightOf(rig, digest)
    while (!flight.sized) await flight.changed.next()
    follower.close()
    body.end(content)
    await rig.deps.background.settled()
    expect(await rig.holds(digest)).toBe(true)
  })

  test('is not joined by one who comes while it ends: a new one goes on from its bytes', async () => {
    await using rig = await openRig()
    const body = new PushedBody()
    const source = new ScriptedSource('a', answering(body, { total: large.length }), giving(large))
    const first = rig.flights.follow(largeDigest, source, plain)
    body.push(large.subarray(0, mib))
    await untilWritten(flightOf(rig, largeDigest), mib)
    first.close()
    const second = rig.flights.follow(largeDigest, source, plain)
    expect((await readAll(second)).equals(large)).toBe(true)
    expect(source.positions).toEqual([0, mib])
    second.close()
  })

  test('set off by nobody, is fetched to its end', async () => {
    await using rig = await openRig()
    const source = new ScriptedSource('a', giving(large))
    rig.flights.fetch(largeDigest, source, large.length)
    await rig.deps.background.settled()
    expect(await rig.holds(largeDigest)).toBe(true)
  })
})

describe('a stop', () => {
  test('keeps the bytes, and a flight after the restart goes on from them and hashes them again', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(3_000_000)
    const body = new PushedBody()
    const follower = rig.flights.follow(
      digest,
      new ScriptedSource('a', answering(body, { total: content.length })),
      plain,
    )
    body.push(content.subarray(0, 2_000_000))
    await untilWritten(flightOf(rig, digest), 2_000_000)
    const restarting = rig.restart()
    expect((await readUntilBroken(follower)).error).toBeInstanceOf(Error)
    follower.close()
    await using again = await restarting
    const source = new ScriptedSource('a', giving(content))
    const next = again.flights.follow(digest, source, plain)
    expect((await readAll(next)).equals(content)).toBe(true)
    expect(source.positions).toEqual([2_000_000])
    next.close()
    await again.deps.background.settled()
    expect(await again.deps.store.read(digest)).toEqual(content)
    expect(await again.partials()).toEqual([])
  })

  test('with all bytes here and no digest yet asks for what is behind them, which is nothing', async () => {
    await using rig = await openRig()
    const { content, digest } = someBlob(300_000)
    const body = new PushedBody()
    const follower = rig.flights.follow(
      digest,
      new ScriptedSource('a', answering(body, { total: content.length })),
      plain,
    )
    body.push(content)
    await untilWritten(flightOf(rig, digest), content.length)
    const restarting = rig.restart()
    await readUntilBroken(follower)
    follower.close()
    await using again = await restarting
    const source = new ScriptedSource('a', giving(content))
    const next = again.flights.follow(digest, source, plain)
    expect((await readAll(next)).equals(content)).toBe(true)
    expect(source.positions).toEqual([content.length])
    next.close()
  })

  test('of a flight that has nothing leaves nothing', async () => {
    await using rig = await openRig()
    const { digest } = someBlob(10)
    const follower = rig.flights.follow(
      digest,
      new ScriptedSource('a', answering(new PushedBody(), { total: 10 })),
      plain,
    )
    const broken = readUntilBroken(follower)
    await rig.flights.stop()
    expect((await broken).error).toBeInstanceOf(Error)
    follower.close()
    expect(await rig.partials()).toEqual([])
  })
})
