/** What was written before an unclean stop, as who asks for it finds it. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { link, mkdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { describe, expect, test } from 'vitest'
import { createLogger } from '../../../src/observe/log.ts'
import { createMetrics } from '../../../src/observe/metrics.ts'
import { type Digest, digestOf } from '../../../src/oci/digest.ts'
import { Doubts, type DoubtsDeps } from '../../../src/store/doubts.ts'
import { SharedFile } from '../../../src/store/files/file.ts'
import { openStore, openStoreReader } from '../../../src/store/store.ts'
import { tempDir } from '../../support/temp-dir.ts'

const content = Buffer.alloc(100_000, 'what was written last ')
const damaged = Buffer.from(content).fill(0, 50_000, 54_096)
const digest = digestOf(content)

/** A store that was left a minute ago without being closed, with these bytes in it. */
async function crashed(...files: readonly ['cached' | 'pushed', Buffer][]) {
  const dir = await tempDir()
  const dropped: Digest[] = []
  const lines: string[] = []
  const log = createLogger('warn', { write: line => lines.push(line) })
  const deps = { log, metrics: createMetrics(), dropped: (of: Digest) => dropped.push(of) }
  const first = await openStore(dir.path, deps)
  const { layout } = first
  first.close()
  await writeFile(layout.life, '')
  for (const [area, bytes] of files) {
    await mkdir(dirname(layout[area](digest)), { recursive: true })
    await writeFile(layout[area](digest), bytes)
  }
  return {
    layout,
    lines,
    dropped,
    open: () => openStore(dir.path, deps),
    reader: (doubtful: Parameters<typeof openStoreReader>[1]['doubtful']) =>
      openStoreReader(dir.path, { log, metrics: deps.metrics, doubtful }),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  }
}

describe('what was written shortly before an unclean stop', () => {
  test('is given when it is sound', async () => {
    await using at = await crashed(['cached', content], ['pushed', content])
    const store = await at.open()
    for (const area of [store, store.pushed]) {
      expect(await area.size(digest)).toBe(content.length)
      expect(await area.read(digest)).toEqual(content)
      const stored = await area.open(digest)
      expect(stored?.size).toBe(content.length)
      stored?.file.release()
    }
    store.close()
  })

  test.each([
    'open',
    'read',
    'size',
  ] as const)('is gone at the first %s when it is damaged and cached', async how => {
    await using at = await crashed(['cached', damaged])
    const store = await at.open()
    expect(await store[how](digest)).toBeUndefined()
    expect(at.dropped).toEqual([digest])
    expect(existsSync(at.layout.cached(digest))).toBe(false)
    await store.put(digest, content)
    expect(await store.read(digest)).toEqual(content)
    expect(at.lines.filter(line => line.includes('unclean stop'))).toHaveLength(1)
    store.close()
  })

  test.each([
    'open',
    'read',
    'size',
  ] as const)('is in quarantine at the first %s when it is damaged and pushed', async how => {
    await using at = await crashed(['pushed', damaged])
    const store = await at.open()
    expect(await store.pushed[how](digest)).toBeUndefined()
    expect(await readFile(at.layout.quarantined(digest))).toEqual(damaged)
    expect(await store.pushed.look(digest)).toBeUndefined()
    await store.pushed.put(digest, content)
    expect(await store.pushed.read(digest)).toEqual(content)
    store.close()
  })

  test('is looked at once where it is cached and pushed, and gone under both names', async () => {
    await using at = await crashed(['cached', damaged])
    await mkdir(dirname(at.layout.pushed(digest)), { recursive: true })
    await link(at.layout.cached(digest), at.layout.pushed(digest))
    const store = await at.open()
    expect(await store.pushed.read(digest)).toBeUndefined()
    expect([at.layout.cached(digest), at.layout.pushed(digest)].map(existsSync)).toEqual([false, false])
    expect(await readFile(at.layout.quarantined(digest))).toEqual(damaged)
    store.close()
  })

  test('is healed from a cached copy that is sound', async () => {
    await using at = await crashed(['cached', content], ['pushed', damaged])
    const store = await at.open()
    expect(await store.pushed.read(digest)).toEqual(content)
    expect(await store.pushed.look(digest)).toMatchObject({ isOnly: false })
    store.close()
  })

  test('is not mounted when it is damaged', async () => {
    await using at = await crashed(['cached', damaged])
    const store = await at.open()
    expect(await store.pushed.claim(digest, () => store.pushed.pin(digest))).toBe(false)
    store.close()
  })

  test('is as good as absent while somebody claims it, and may be pushed then', async () => {
    await using at = await crashed(['pushed', damaged])
    const store = await at.open()
    await store.pushed.claim(digest, async () => {
      expect(await store.pushed.size(digest)).toBeUndefined()
      await store.pushed.put(digest, content)
    })
    expect(await store.pushed.read(digest)).toEqual(content)
    store.close()
  })

  test('is left to its owner by a process beside it', async () => {
    await using at = await crashed(['cached', damaged], ['pushed', damaged])
    const store = await at.open()
    const reader = at.reader(store.doubtful)
    expect(await reader.open(digest)).toBeUndefined()
    expect(await reader.pushed.read(digest)).toBeUndefined()
    expect([at.layout.cached(digest), at.layout.pushed(digest)].map(existsSync)).toEqual([true, true])
    await store.pushed.put(digest, content)
    expect(await reader.pushed.read(digest)).toEqual(content)
    reader.close()
    store.close()
  })

  test('is not looked at when it was written long before', async () => {
    await using at = await crashed(['cached', damaged])
    await utimes(at.layout.cached(digest), 1, 1)
    const store = await at.open()
    expect(await store.read(digest)).toEqual(damaged) // the scrub's
    store.close()
  })

  test('is not looked at after a clean stop, whatever it is', async () => {
    await using at = await crashed(['cached', damaged])
    await rm(at.layout.life)
    const store = await at.open()
    expect(store.doubtful).toBeUndefined()
    expect(await store.read(digest)).toEqual(damaged)
    store.close()
  })
})

describe('a look at a doubtful file', () => {
  async function look(deps: Partial<DoubtsDeps> = {}) {
    const dir = await tempDir()
    await writeFile(dir.join('file'), content)
    const file = await SharedFile.open(dir.join('file'), 'r')
    const condemned: number[] = []
    const doubts = new Doubts({
      span: { from: 0, to: Number.POSITIVE_INFINITY },
      condemn: async (_, inode) => void condemned.push(inode),
      ...deps,
    })
    return {
      condemned,
      doubts,
      ask: () => doubts.isSound(digest, { file, size: content.length }),
      async [Symbol.asyncDispose]() {
        file.release()
        await dir[Symbol.asyncDispose]()
      },
    }
  }
  const wrong = `sha256:${createHash('sha256').digest('hex')}` as Digest

  test('is one for all who ask at once, and later', async () => {
    let looks = 0
    const begun = Promise.withResolvers<Digest>()
    await using at = await look({
      digestOf: () => {
        looks += 1
        return begun.promise
      },
    })
    const asking = Array.from({ length: 100 }, () => at.ask())
    begun.resolve(digest)
    expect(new Set(await Promise.all(asking))).toEqual(new Set([true]))
    expect(await at.ask()).toBe(true)
    expect(looks).toBe(1)
  })

  test('is taken twice before a file is condemned, once for all', async () => {
    const results = [wrong, digest, wrong, wrong]
    await using at = await look({ digestOf: async () => results.shift() ?? digest })
    expect(await at.ask()).toBe(true)
    expect(at.condemned).toEqual([])
    await using other = await look({ digestOf: async () => wrong })
    expect(await Promise.all([other.ask(), other.ask(), other.ask()])).toEqual([false, false, false])
    expect(await other.ask()).toBe(false)
    expect(other.condemned).toHaveLength(1)
  })

  test('that fails says nothing of the file: the next one looks again', async () => {
    let looks = 0
    const digestOf = async () => {
      looks += 1
      if (looks === 1) throw new Error('EIO')
      return digest
    }
    await using at = await look({ digestOf })
    await expect(at.ask()).rejects.toThrow('EIO')
    expect(await at.ask()).toBe(true)
    expect(at.condemned).toEqual([])
  })

  test('is given up when the store is closed', async () => {
    await using at = await look()
    const asked = at.ask()
    at.doubts.close()
    await expect(asked).rejects.toThrow('given up')
    expect(at.condemned).toEqual([])
  })
})
