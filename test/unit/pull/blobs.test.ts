/** Pulling blobs: each fetched once, ranges forwarded, and visible only where upstream said so. */
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import type { RangeSpec } from '../../../src/oci/range.ts'
import { type BlobAnswer, Blobs } from '../../../src/pull/blobs.ts'
import { FakeUpstream, targetOf } from './fake-upstream.ts'
import { openRig, type Rig, readAll } from './flight-rig.ts'

const content = randomBytes(300_000)

async function openBlobs() {
  const rig = await openRig()
  return {
    rig,
    blobs: new Blobs(rig.deps, rig.flights),
    [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose](),
  }
}

async function bodyOf(answer: BlobAnswer): Promise<Buffer> {
  if (answer.kind === 'link') throw new Error('the bytes are somewhere else')
  if (answer.kind === 'relay') {
    const body = await buffer(answer.relay.body)
    answer.relay.close()
    return body
  }
  const body = await readAll(answer.bytes)
  answer.bytes.close()
  return body
}

const settled = (rig: Rig) => rig.deps.background.settled()
const closed = (first: number, last: number): RangeSpec[] => [{ kind: 'closed', first, last }]

describe('a blob', () => {
  test('is asked for once, by however many at the same time and later', async () => {
    await using at = await openBlobs()
    const upstream = new FakeUpstream()
    const digest = upstream.holdBlob(content)
    const target = targetOf(upstream)
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => at.blobs.get(target, digest, undefined)),
    )
    for (const body of await Promise.all(answers.map(bodyOf))) expect(body.equals(content)).toBe(true)
    const outcomes = answers.map(({ provenance }) => provenance.outcome)
    expect(outcomes.sort()).toEqual([...Array(19).fill('collapsed'), 'miss'])
    await settled(at.rig)
    const later = await at.blobs.get(target, digest, undefined)
    expect(later.provenance.outcome).toBe('hit')
    expect((await bodyOf(later)).equals(content)).toBe(true)
    expect((await at.blobs.head(target, digest)).size).toBe(content.length)
    expect(upstream.asked).toEqual(['GET blob'])
  })

  test('that upstream does not have is asked for once in a while', async () => {
    await using at = await openBlobs()
    const upstream = new FakeUpstream()
    const digest = new FakeUpstream().holdBlob(content)
    for (let times = 0; times < 3; times += 1) {
      await expect(at.blobs.get(targetOf(upstream), digest, undefined)).rejects.toMatchObject({ status: 404 })
      await expect(at.blobs.head(targetOf(upstream), digest)).rejects.toMatchObject({ status: 404 })
    }
    expect(upstream.asked).toEqual(['GET blob'])
  })

  test('is fetched again when what lies on disk has another size', async () => {
    await using at = await openBlobs()
    const upstream = new FakeUpstream()
    const digest = upstream.holdBlob(content)
    await bodyOf(await at.blobs.get(targetOf(upstream), digest, undefined))
    await settled(at.rig)
    await writeFile(at.rig.deps.store.layout.cached(digest), content.subarray(1))
    const again = await at.blobs.get(targetOf(upstream), digest, undefined)
    expect((await bodyOf(again)).equals(content)).toBe(true)
    await settled(at.rig)
    expect(await at.rig.deps.store.size(digest)).toBe(content.length)
    expect(upstream.asked).toEqual(['GET blob', 'GET blob'])
  })
})

describe('a blob that is here for another repository', () => {
  test("is given after this one's upstream confirmed it, and then without asking", async () => {
    await using at = await openBlobs()
    const upstream = new FakeUpstream({ access: 'shared' })
    const digest = upstream.holdBlob(content)
    await bodyOf(await at.blobs.get(targetOf(upstream), digest, undefined))
    await settled(at.rig)
    const other = targetOf(upstream, { repository: 'other/app' })
    for (let times = 0; times < 3; times += 1) {
      expect((await bodyOf(await at.blobs.get(other, digest, undefined))).equals(content)).toBe(true)
    }
    expect(upstream.asked).toEqual(['GET blob', 'HEAD blob'])
  })

  test('is not given when upstream refuses it there', async () => {
    await using at = await openBlobs()
    const upstream = new FakeUpstream()
    const digest = upstream.holdBlob(content)
    await bodyOf(await at.blobs.get(targetOf(upstream), digest, undefined))
    await settled(at.rig)
    upstream.failure = 'denied'
    const other = targetOf(upstream, { repository: 'other/app' })
    await expect(at.blobs.get(other, digest, undefined)).rejects.toMatchObject({ status: 403 })
    await expect(at.blobs.head(other, digest)).rejects.toMatchObject({ status: 403 })
  })

  test('nor while it is still on its way', async () => {
    await using at = await openBlobs()
    const upstream = new FakeUpstream()
    const digest = upstream.holdBlob(content)
    const gate = Promise.withResolvers<void>()
    upstream.gate = gate.promise
    const first = at.blobs.get(targetOf(upstream), digest, undefined)
    const stranger = new FakeUpstream({ identity: 'stranger' })
    stranger.failure = 'denied'
    await expect(at.blobs.get(targetOf(stranger), digest, undefined)).rejects.toMatchObject({ status: 403 })
    gate.resolve()
    expect((await bodyOf(await first)).equals(content)).toBe(true)
  })

  test('is given at once where a manifest lists it and it came anonymously from a public upstream', async () => {
    await using at = await openBlobs()
    const upstream = new FakeUpstream()
    const digest = upstream.holdBlob(content)
    await bodyOf(await at.blobs.get(targetOf(upstream), digest, undefined))
    await settled(at.rig)
    const key = {
      registry: upstream.registry,
      repository: targetOf(upstream, { repository: 'other/app' }).repository,
    }
    await at.rig.deps.catalog.index.putChildren(key, digest, [
      { mediaType: '', digest, size: content.length },
    ])
    const other = targetOf(upstream, { repository: 'other/app' })
    expect((await at.blobs.get(other, digest, undefined)).provenance.outcome).toBe('hit')
    expect(upstream.asked).toEqual(['GET blob'])
  })
})

describe('a range of an uncached blob', () => {
  test('that is short and closed is relayed, and the blob fetched after the answer', async () => {
    await using at = await openBlobs()
    const upstream = new FakeUpstream()
    const digest = upstream.holdBlob(content)
    const answer = await at.blobs.get(targetOf(upstream), digest, [{ kind: 'suffix', length: 100 }])
    expect(answer).toMatchObject({ kind: 'relay', size: 300_000, range: { first: 299_900, last: 299_999 } })
    expect(upstream.asked).toEqual(['HEAD blob', 'RANGE 299900-299999'])
    expect((await bodyOf(answer)).equals(content.subarray(-100))).toBe(true)
    await settled(at.rig)
    expect(upstream.asked).toEqual(['HEAD blob', 'RANGE 299900-299999', 'GET blob'])
    expect(await at.rig.holds(digest)).toBe(true)
  })

  test('that takes longer than the fetch of the whole sets off no second one', async () => {
    await using at = await openBlobs()
    const upstream = new FakeUpstream()
    const digest = upstream.holdBlob(content)
    const target = targetOf(upstream)
    const [quick, slow] = await Promise.all([
      at.blobs.get(target, digest, closed(0, 9)),
      at.blobs.get(target, digest, closed(10, 19)),
    ])
    await bodyOf(quick)
    await settled(at.rig)
    await bodyOf(slow)
    await settled(at.rig)
    expect(upstream.asked.filter(what => what === 'GET blob')).toHaveLength(1)
  })

  test('is relayed for two at once, the third waits for the blob', async () => {
    await using at = await openBlobs()
    const upstream = new FakeUpstream()
    const digest = upstream.holdBlob(content)
    const target = targetOf(upstream)
    const answers = []
    for (const first of [0, 10, 20])
      answers.push(await at.blobs.get(target, digest, closed(first, first + 9)))
    expect(answers.map(({ kind }) => kind)).toEqual(['relay', 'relay', 'bytes'])
    for (const answer of answers) await bodyOf(answer)
  })

  test.each<[string, RangeSpec[]]>([
    ['open-ended', [{ kind: 'from', first: 100 }]],
    ['several', [...closed(0, 9), ...closed(20, 29)]],
    ['inverted', closed(9, 0)],
    ['beyond the end', closed(300_000, 300_001)],
  ])('that is %s goes with the fetch of the whole', async (_, ranges) => {
    await using at = await openBlobs()
    const upstream = new FakeUpstream()
    const digest = upstream.holdBlob(content)
    const answer = await at.blobs.get(targetOf(upstream), digest, ranges)
    expect(answer).toMatchObject({ kind: 'bytes', size: 300_000 })
    await bodyOf(answer)
    expect(upstream.asked.filter(what => what.startsWith('RANGE'))).toEqual([])
  })

  test('sets nothing off once the program is stopping', async () => {
    await using at = await openBlobs()
    const upstream = new FakeUpstream()
    const digest = upstream.holdBlob(content)
    const answer = await at.blobs.get(targetOf(upstream), digest, closed(0, 9))
    await at.rig.flights.stop()
    await bodyOf(answer)
    await settled(at.rig)
    expect(upstream.asked).not.toContain('GET blob')
  })
})
