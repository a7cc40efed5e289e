import { appendFile, mkdir, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createLogger } from '../../../../src/observe/log.ts'
import { createMetrics } from '../../../../src/observe/metrics.ts'
import { type Digest, digestOf } from '../../../../src/oci/digest.ts'
import type { CapacityLimits } from '../../../../src/store/eviction/capacity.ts'
import { NoRoom } from '../../../../src/store/partial.ts'
import { openStore, type Store } from '../../../../src/store/store.ts'
import { FakeClock } from '../../../fake/clock.ts'
import { tempDir } from '../../../support/temp-dir.ts'

const hourMs = 3_600_000
const unlimited: CapacityLimits = {
  maxBytes: Number.POSITIVE_INFINITY,
  maxBytesOf: () => Number.POSITIVE_INFINITY,
  minFree: () => 0,
  unusedMsOf: () => Number.POSITIVE_INFINITY,
}

async function rig(given: Partial<CapacityLimits> = {}) {
  const dir = await tempDir()
  const clock = new FakeClock(Date.now())
  const pinned = new Set<Digest>()
  const dropped: Digest[] = []
  const lines: string[] = []
  let limits = { ...unlimited, ...given }
  const log = createLogger('warn', { write: line => lines.push(line) })
  const open = () =>
    openStore(dir.path, {
      log,
      metrics: createMetrics(),
      dropped: digest => dropped.push(digest),
      clock,
      capacity: { limits: () => limits, isPinned: digest => pinned.has(digest) },
    })
  const at = {
    store: await open(),
    path: dir.path,
    clock,
    pinned,
    dropped,
    lines,
    limit: (next: Partial<CapacityLimits>) => {
      limits = { ...limits, ...next }
    },
    put: async (name: string, size = 1000, owner = 'docker.io') => {
      const content = contentOf(name, size)
      return (await at.store.put(digestOf(content), content, owner)) ? digestOf(content) : undefined
    },
    here: async (digest: Digest | undefined) =>
      digest !== undefined && (await at.store.size(digest)) !== undefined,
    reopen: async (meanwhile: () => Promise<unknown> = async () => {}) => {
      at.store.close()
      await meanwhile()
      at.store = await open()
    },
    [Symbol.asyncDispose]: async () => {
      at.store.close()
      await dir[Symbol.asyncDispose]()
    },
  }
  return at
}

const contentOf = (name: string, size: number) => Buffer.alloc(size, `${name} `)

async function bytesBelow(folder: string): Promise<number> {
  let bytes = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])) {
    if (!entry.isFile() || entry.name.endsWith('.note')) continue
    bytes += (await stat(join(entry.parentPath, entry.name)).catch(() => ({ size: 0 }))).size
  }
  return bytes
}

const onDisk = async ({ path }: { path: string }) =>
  (await bytesBelow(join(path, 'cached'))) + (await bytesBelow(join(path, 'partial')))

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
  expect(await onDisk(at)).toBe(2 * step)
  await partial.discard()
  expect(await at.put('a')).toBeDefined()
})

test('what an ended flight left behind counts, goes first, and is gone on with otherwise', async () => {
  await using at = await rig({ maxBytes: 5_000 })
  const a = await at.put('a')
  const digest = digestOf(Buffer.from('x'))
  const partial = await at.store.begin(digest)
  await partial.append([Buffer.alloc(3_000)])
  await partial.keep()
  await at.reopen()
  await at.store.takeStock(new AbortController().signal)
  const again = await at.store.begin(digest)
  expect(again.written).toBe(3_000)
  expect(await at.put('large', 2_500)).toBeUndefined()
  await again.keep()
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
  expect(await onDisk(at)).toBe(2_000)
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

interface Step {
  readonly kind: string
  readonly name: number
  readonly size: number
}

async function act(store: Store, { kind, name, size }: Step): Promise<unknown> {
  const content = contentOf(`${name}`, 1 + ((name * 997 + size) % 9_000))
  const digest = digestOf(content)
  if (kind === 'put') return store.put(digest, content, 'docker.io')
  if (kind === 'drop') return store.drop(digest)
  if (kind === 'use') return store.use([digest])
  if (kind === 'tidy') return store.capacity?.tidy()
  const partial = await ifRoom(store.begin(digest, { owner: 'ghcr.io', expectedSize: content.length }))
  if (!partial) return
  const rest = content.subarray(partial.written)
  await partial.append([kind === 'blob' ? rest : rest.subarray(0, size)])
  if (kind === 'blob') return partial.commit()
  return kind === 'keep' ? partial.keep() : partial.discard()
}

const ifRoom = <T>(begun: Promise<T>) =>
  begun.catch((error: unknown) => {
    expect(error).toBeInstanceOf(NoRoom)
  })

test('whatever comes, goes, breaks off and is read at once: the cap is kept at each step and the sum is right', async () => {
  const maxBytes = 20_000
  const step = fc.record({
    kind: fc.constantFrom('put', 'blob', 'keep', 'discard', 'drop', 'use', 'tidy'),
    name: fc.integer({ min: 0, max: 12 }),
    size: fc.integer({ min: 1, max: 9_000 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(step, { maxLength: 8 }), { maxLength: 12 }), async rounds => {
      await using at = await rig({ maxBytes })
      for (const round of rounds) {
        const acting = Promise.all(round.map(step => act(at.store, step)))
        const ended = acting.then(() => true)
        do expect(await onDisk(at)).toBeLessThanOrEqual(maxBytes)
        while (!(await Promise.race([ended, setImmediate(false)])))
        at.clock.advance(hourMs)
        expect(at.store.capacity?.cachedBytes).toBe(await bytesBelow(join(at.path, 'cached')))
      }
    }),
    { numRuns: 40 },
  )
}, 60_000)
