/** A store that is read beside the process that owns it. */
import { readdir } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { createLogger } from '../../../src/observe/log.ts'
import { createMetrics } from '../../../src/observe/metrics.ts'
import { type Digest, digestOf } from '../../../src/oci/digest.ts'
import { openStore, openStoreReader } from '../../../src/store/store.ts'
import { tempDir } from '../../support/temp-dir.ts'

const content = Buffer.from('some content')
const digest = digestOf(content)
const deps = { log: createLogger('silent'), metrics: createMetrics() }

describe('a reader of the store', () => {
  test('makes nothing, also where there is no store yet', async () => {
    await using dir = await tempDir()
    const reader = openStoreReader(dir.join('none'), deps)
    expect(await reader.open(digest)).toBeUndefined()
    expect(await reader.pushed.read(digest)).toBeUndefined()
    reader.close()
    expect(await readdir(dir.path)).toEqual([])
  })

  test('reads what the owner has, and leaves it the lock', async () => {
    await using dir = await tempDir()
    const before = openStoreReader(dir.path, deps)
    const store = await openStore(dir.path, deps)
    const beside = openStoreReader(dir.path, deps)
    await store.put(digest, content)
    const pushed = digestOf(Buffer.from('pushed'))
    await store.pushed.put(pushed, Buffer.from('pushed'))
    for (const reader of [before, beside]) {
      expect(await reader.read(digest)).toEqual(content)
      expect(await reader.pushed.read(pushed)).toEqual(Buffer.from('pushed'))
      const stored = await reader.open(digest)
      expect(stored?.size).toBe(content.length)
      stored?.file.release()
      reader.close()
    }
    await expect(openStore(dir.path, deps)).rejects.toThrow('in use')
    store.close()
  })

  test('hears of what was dropped, and does not mind what is gone or came anew', async () => {
    await using dir = await tempDir()
    const dropped: Digest[] = []
    const store = await openStore(dir.path, { ...deps, dropped: of => dropped.push(of) })
    const reader = openStoreReader(dir.path, deps)
    await store.put(digest, content)
    await store.drop(digest)
    expect(dropped).toEqual([digest])
    reader.forget(digest, true)
    expect(await reader.open(digest)).toBeUndefined()
    await store.put(digest, content)
    reader.forget(digest, true) // told of late
    expect(await reader.read(digest)).toEqual(content)
    store.close()
  })

  test('gives nothing of what could not be deleted', async () => {
    await using dir = await tempDir()
    const store = await openStore(dir.path, deps)
    const reader = openStoreReader(dir.path, deps)
    await store.put(digest, content)
    reader.forget(digest, false) // as after a drop that the disk refused
    expect(await reader.open(digest)).toBeUndefined()
    expect(await reader.size(digest)).toBeUndefined()
    expect(await reader.pushed.read(digest)).toBeUndefined()
    store.close()
  })
})
