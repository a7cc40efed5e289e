import { appendFile, mkdir, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { createLogger } from '../../../../src/observe/log.ts'
import { createMetrics } from '../../../../src/observe/metrics.ts'
import { type Digest, digestOf } from '../../../../src/oci/digest.ts'
import { Capacity } from '../../../../src/store/eviction/capacity.ts'
import { UsageTable } from '../../../../src/store/eviction/usage-table.ts'
import { NoRoom } from '../../../../src/store/partial.ts'
import { FakeClock } from '../../../fake/clock.ts'
import { tempDir } from '../../../support/temp-dir.ts'
import { bytesBelow, contentOf, hourMs, onDisk, rig, unlimited } from './rig.ts'

test('what went unused longest goes to make room, and no more than it takes', async () => {
  await using at = await rig({ maxBytes: 3_500 })
  const put = []
  for (const name of ['a', 'b', 'c']) {
    put.push(await at.put(name))
    at.clock.advance(hourMs)
  }
  const [a, b, c] = put
  at.store.use([a as Digest])
  const d = await at.put('d')
  expect(await Promise.all([a, b, c, d].map(at.here))).toEqual([true, false, true, true])
  expect(at.dropped).toEqual([b])
  expect(at.store.capacity?.cachedBytes).toBe(3_000)
})

test('a read is a use', async () => {
  await using at = await rig({ maxBytes: 2_500 })
  const a = await at.put('a')
  at.clock.advance(hourMs)
  const b = await at.put('b')
  at.clock.advance(hourMs)
  const read = await at.store.open(a as Digest)
  read?.file.release()
  await at.put('c')
  expect([await at.here(a), await at.here(b)]).toEqual([true, false])
})

test('the sum is right after what was there is put once more, and after it was dropped', async () => {
  await using at = await rig()
  const a = await at.put('a')
  await at.put('a')
  await at.put('b', 500)
  expect(at.store.capacity?.cachedBytes).toBe(1_500)
  await at.store.drop(a as Digest)
  expect(at.store.capacity?.cachedBytes).toBe(500)
})

test('what is pinned, and what is being read, stays; without room nothing is kept and nothing else is lost', async () => {
  await using at = await rig({ maxBytes: 2_500 })
  const [a, b] = [await at.put('a'), await at.put('b')]
  at.pinned.add(a as Digest)
  const reading = await at.store.open(b as Digest)
  expect(await at.put('c')).toBeUndefined()
  expect([await at.here(a), await at.here(b)]).toEqual([true, true])
  expect(at.lines.filter(line => line.includes('no room to keep'))).toHaveLength(1)
  reading?.file.release()
  expect(await at.here(await at.put('c'))).toBe(true)
  expect([await at.here(a), await at.here(b)]).toEqual([true, false])
})

test('what is larger than all that may be cached costs nothing that is', async () => {
  await using at = await rig({ maxBytes: 2_500 })
  const a = await at.put('a')
  expect(await at.put('large', 2_501)).toBeUndefined()
  await expect(
    at.store.begin(digestOf(Buffer.from('x')), { owner: 'docker.io', expectedSize: 3_000 }),
  ).rejects.toThrow(NoRoom)
  expect(await at.here(a)).toBe(true)
})

test('an upstream with a cap of its own keeps to it, and costs the others nothing', async () => {
  await using at = await rig({
    maxBytesOf: owner => (owner === 'ghcr.io' ? 2_000 : Number.POSITIVE_INFINITY),
  })
  const other = await at.put('other')
  const [a, b] = [await at.put('a', 1000, 'ghcr.io'), await at.put('b', 1000, 'ghcr.io')]
  const c = await at.put('c', 1000, 'ghcr.io')
  expect(await Promise.all([other, a, b, c].map(at.here))).toEqual([true, false, true, true])
  expect(at.store.capacity?.totals.get('ghcr.io')).toEqual({ bytes: 2_000, blobs: 2 })
})

test('bytes on their way are reserved before the first comes, and count until they are given up', async () => {
  await using at = await rig({ maxBytes: 4_000 })
  const [a, b] = [await at.put('a'), await at.put('b')]
  const content = contentOf('blob', 3_000)
  const partial = await at.store.begin(digestOf(content), { owner: 'docker.io', expectedSize: 3_000 })
  expect([await at.here(a), await at.here(b)]).toEqual([false, true])
  expect(await at.put('c')).toBeDefined() // b makes room
  expect(await at.put('d', 1_500)).toBeUndefined()
  await partial.append([content])
  await at.store.commit(partial)
  expect(at.store.capacity?.cachedBytes).toBe(4_000)
  expect(await at.put('d', 1_500)).toBeDefined()
})

test('what nobody announced takes its room before it is written, and breaks off where there is none', async () => {
  const step = 16 * 2 ** 20
  await using at = await rig({ maxBytes: 2 * step })
  const partial = await at.store.begin(digestOf(Buffer.from('x')))
  const chunk = Buffer.alloc(step)
  await partial.append([chunk])
  await partial.append([chunk])
  await expect(partial.append([Buffer.alloc(1)])).rejects.toThrow(NoRoom)
  expect(onDisk(at)).toBe(2 * step)
  await partial.discard()
  expect(await at.put('a')).toBeDefined()
})

test('what an ended flight left behind counts from the start, goes first, and is gone on with otherwise', async () => {
  await using at = await rig({ maxBytes: 5_000 })
  const a = await at.put('a')
  const digest = digestOf(Buffer.from('x'))
  const partial = await at.store.begin(digest)
  await partial.append([Buffer.alloc(3_000)])
  await partial.keep()
  await at.reopen()
  const again = await at.store.begin(digest)
  expect(again.written).toBe(3_000)
  expect(await at.put('large', 2_500)).toBeUndefined()
  await again.keep()
  await at.reopen()
  expect(await at.put('large', 2_500)).toBeDefined()
  expect(await readdir(join(at.path, 'partial'))).toEqual([])
  expect(await at.here(a)).toBe(true)
})

test('a disk that gets full has what is cached deleted, unless that would not be enough', async () => {
  await using at = await rig()
  const [a, b] = [await at.put('a'), await at.put('b')]
  at.limit({ minFree: () => 2 ** 60 })
  expect(await at.put('c')).toBeUndefined()
  expect([await at.here(a), await at.here(b)]).toEqual([true, true])
})

test('what nobody asked for in the time set goes, by the time set now', async () => {
  await using at = await rig({ unusedMsOf: () => 30 * 24 * hourMs })
  const [a, b] = [await at.put('a'), await at.put('b')]
  at.clock.advance(20 * 24 * hourMs)
  at.store.use([b as Digest])
  await at.store.capacity?.tidy()
  at.clock.advance(11 * 24 * hourMs)
  await at.store.capacity?.tidy()
  expect([await at.here(a), await at.here(b)]).toEqual([false, true])
  at.limit({ unusedMsOf: () => 10 * 24 * hourMs })
  await at.store.capacity?.tidy()
  expect(await at.here(b)).toBe(false)
})

test('a smaller cap takes effect with the next look', async () => {
  await using at = await rig()
  for (const name of ['a', 'b', 'c', 'd']) await at.put(name)
  at.limit({ maxBytes: 2_500 })
  await at.store.capacity?.tidy()
  expect(onDisk(at)).toBe(2_000)
})

test('a clean close leaves the sums to the next start; a lost or damaged table is made anew from the files', async () => {
  await using at = await rig()
  const a = await at.put('a')
  await at.put('b', 500)
  await at.store.takeStock(new AbortController().signal)
  await at.reopen()
  expect(at.store.capacity?.cachedBytes).toBe(1_500)
  const old = new Date(Date.now() - 90 * 24 * hourMs)
  await utimes(at.store.layout.cached(a as Digest), old, old)
  await at.reopen(() => writeFile(join(at.path, 'usage.sqlite'), 'no table'))
  await at.store.takeStock(new AbortController().signal)
  expect(at.store.capacity?.cachedBytes).toBe(1_500)
  at.limit({ maxBytes: 1_000 })
  await at.store.capacity?.tidy()
  expect(await at.here(a)).toBe(false)
})

test('a count finds what came and went unnoticed', async () => {
  await using at = await rig()
  const [a, b] = [await at.put('a'), await at.put('b')]
  await at.reopen(async () => {
    await rm(at.store.layout.cached(a as Digest))
    await appendFile(at.store.layout.cached(b as Digest), 'more')
  })
  // Closed before it was counted: the next start counts.
  await at.store.takeStock(new AbortController().signal)
  expect(at.store.capacity?.totals.get('docker.io')).toEqual({ bytes: 1_000, blobs: 1 })
})

test('ranks of a clock that was ahead keep nothing for ever', async () => {
  await using at = await rig()
  at.clock.advance(365 * 24 * hourMs)
  const future = await at.put('future')
  at.clock.advance(-365 * 24 * hourMs)
  await at.store.capacity?.tidy()
  at.clock.advance(hourMs)
  const a = await at.put('a')
  at.limit({ maxBytes: 1_500 })
  await at.store.capacity?.tidy()
  expect([await at.here(future), await at.here(a)]).toEqual([false, true])
})

test('a file that cannot be deleted stays, is counted, and is told of', async () => {
  await using at = await rig({ maxBytes: 1_500 })
  const a = await at.put('a')
  await rm(at.store.layout.cached(a as Digest))
  await mkdir(join(at.store.layout.cached(a as Digest), 'full'), { recursive: true })
  expect(await at.put('b')).toBeUndefined()
  expect(at.lines.some(line => line.includes('cannot be deleted'))).toBe(true)
})

test('what has no room beside what is pinned costs nothing else', async () => {
  await using at = await rig({ maxBytes: 5_000 })
  const [pinned, b, c] = [await at.put('pinned', 3_000), await at.put('b'), await at.put('c')]
  at.pinned.add(pinned as Digest)
  expect(await at.put('large', 2_500)).toBeUndefined()
  expect([await at.here(b), await at.here(c)]).toEqual([true, true])
  expect(await at.here(await at.put('d', 2_000))).toBe(true)
})

test('who waits for room that there is not to be costs nobody else theirs', async () => {
  await using at = await rig({ maxBytes: 5_000 })
  at.pinned.add((await at.put('pinned', 3_000)) as Digest)
  for (const name of ['b', 'c']) await at.put(name)
  expect(await Promise.all([at.put('d'), at.put('large', 2_500), at.put('e')])).toEqual([
    expect.anything(),
    undefined,
    expect.anything(),
  ])
})

test('however much is pinned, others have their turns while it is looked through', async () => {
  await using at = await rig({ maxBytes: 1_600 })
  await Promise.all(Array.from({ length: 400 }, (_, number) => at.put(`${number}`, 4)))
  let asked = 0
  at.pinned.has = () => {
    asked += 1
    return true
  }
  const putting = at.put('more', 4).then(put => ({ put }))
  let ended: { put: Digest | undefined } | undefined
  while (ended === undefined) {
    const before = asked
    ended = await Promise.race([putting, setImmediate(undefined)])
    expect(asked - before).toBeLessThanOrEqual(128)
  }
  expect(ended.put).toBeUndefined()
  expect(asked).toBeGreaterThanOrEqual(400)
})

test('a stop does not wait until everything has gone that is too much', async () => {
  await using at = await rig()
  await Promise.all(Array.from({ length: 100 }, (_, number) => at.put(`${number}`, 4)))
  at.limit({ maxBytes: 0 })
  const tidying = at.store.capacity?.tidy()
  while (at.dropped.length === 0) await setImmediate()
  at.stopping.abort()
  await tidying
  expect(at.dropped.length).toBeLessThan(100)
  expect(at.store.capacity?.cachedBytes).toBe(bytesBelow(join(at.path, 'cached')))
})

test('what a disk did not take holds no room', async () => {
  await using at = await rig({ maxBytes: 2_500 })
  const taken = at.store.layout.cached(digestOf(contentOf('a', 2_000)))
  await mkdir(join(taken, 'full'), { recursive: true })
  await expect(at.put('a', 2_000)).rejects.toThrow(/EISDIR|ENOTEMPTY/)
  expect(at.store.capacity?.cachedBytes).toBe(0)
  expect(await at.put('b', 2_500)).toBeDefined()
})

test('what cannot be written down holds no room', async () => {
  await using at = await rig({ maxBytes: 2_500 })
  const full = vi.spyOn(UsageTable.prototype, 'put').mockImplementationOnce(() => {
    throw new Error('database or disk is full')
  })
  await expect(at.put('a', 2_000)).rejects.toThrow('disk is full')
  full.mockRestore()
  expect(await at.put('b', 2_500)).toBeDefined()
})

test('a disk needs no room for the bytes that an earlier flight has left on it', async () => {
  await using dir = await tempDir()
  const clock = new FakeClock()
  const table = UsageTable.open(dir.join('usage.sqlite'))
  const capacity = new Capacity({
    table,
    clock,
    log: createLogger('silent'),
    metrics: createMetrics(),
    limits: () => unlimited,
    space: async () => ({ total: 20_000, free: 2_000 }),
    leftOvers: { bytes: 0, reclaim: async () => 0 },
    isThere: async () => true,
    stays: () => false,
    pinsKnown: async () => {},
    tellUses: () => {},
    remove: async () => {},
    stopping: new AbortController().signal,
  })
  const going = capacity.hold('docker.io', 10_000)
  expect(await going.cover(12_000)).toBe(true)
  expect(await capacity.reserve('docker.io', 1)).toBeUndefined()
  going.release()
  expect(await capacity.reserve('docker.io', 12_000)).toBeUndefined()
  table.close(true)
})
