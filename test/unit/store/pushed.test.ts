/** What local repositories hold, on real files. */
import { mkdir, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import type { Store } from '../../../src/store/store.ts'
import { mayMount, tinyDisk } from '../../fault/mounts.ts'
import { openTestStore } from './store-rig.ts'

const content = Buffer.from('some content')
const digest = digestOf(content)

const inode = async (path: string) => (await stat(path)).ino

async function readThrough(from: Pick<Store, 'open' | 'size' | 'read'>) {
  const opened = await from.open(digest)
  opened?.file.release()
  return [opened?.size, await from.size(digest), (await from.read(digest))?.toString()]
}

const all = [content.length, content.length, content.toString()]
const none = [undefined, undefined, undefined]

describe('pushed bytes', () => {
  test('are there for local and for proxied names', async () => {
    await using rig = await openTestStore()
    await rig.store.pushed.put(digest, content)
    expect(await readThrough(rig.store.pushed)).toEqual(all)
    expect(await readThrough(rig.store)).toEqual(all)
    expect(await readdir(rig.store.layout.trash)).toEqual([])
  })

  test('are not touched by what drops cached ones', async () => {
    await using rig = await openTestStore()
    await rig.store.put(digest, content)
    await rig.store.pushed.pin(digest)
    await rig.store.drop(digest)
    expect(await readThrough(rig.store.pushed)).toEqual(all)
  })

  test('that were never pushed are those of the cache, or none', async () => {
    await using rig = await openTestStore()
    expect(await readThrough(rig.store.pushed)).toEqual(none)
    await rig.store.put(digest, content)
    expect(await readThrough(rig.store.pushed)).toEqual(all)
  })

  test('that cannot be read are an error where nobody else has them, and absent where upstream does', async () => {
    await using rig = await openTestStore()
    const shard = dirname(rig.store.layout.pushed(digest))
    await mkdir(dirname(shard), { recursive: true })
    await writeFile(shard, 'a file where a folder should be')
    await expect(rig.store.pushed.open(digest)).rejects.toMatchObject({ code: 'ENOTDIR' })
    await expect(rig.store.pushed.size(digest)).rejects.toMatchObject({ code: 'ENOTDIR' })
    expect(await readThrough(rig.store)).toEqual(none)
  })
})

describe('pinning', () => {
  test('shares the bytes on disk', async () => {
    await using rig = await openTestStore()
    const { store } = rig
    await store.put(digest, content)
    expect(await Promise.all([store.pushed.pin(digest), store.pushed.pin(digest)])).toEqual([true, true])
    expect(await inode(store.layout.pushed(digest))).toBe(await inode(store.layout.cached(digest)))
    expect(await readdir(store.layout.trash)).toEqual([])
  })

  test('what is not here is false, and leaves nothing', async () => {
    await using rig = await openTestStore()
    expect(await rig.store.pushed.pin(digest)).toBe(false)
    expect(await rig.store.pushed.size(digest)).toBeUndefined()
  })

  test('what is pushed already is true, and stays as it is', async () => {
    await using rig = await openTestStore()
    const { store } = rig
    await store.pushed.put(digest, content)
    const before = await inode(store.layout.pushed(digest))
    expect(await store.pushed.pin(digest)).toBe(true)
    await store.put(digest, content)
    expect(await store.pushed.pin(digest)).toBe(true)
    expect(await inode(store.layout.pushed(digest))).toBe(before)
  })

  test('leaves pushed bytes alone when the cached copy is replaced', async () => {
    await using rig = await openTestStore()
    const { store } = rig
    await store.put(digest, content)
    await store.pushed.pin(digest)
    await store.put(digest, Buffer.from('other'))
    expect((await store.pushed.read(digest))?.toString()).toBe(content.toString())
  })
})

describe.skipIf(!mayMount)('(as root, who may mount) pinning from a disk of its own', () => {
  test('makes a copy', async () => {
    using disk = tinyDisk(1024 * 1024)
    await using rig = await openTestStore()
    const { store } = rig
    await symlink(disk.path, `${rig.path}/cached`)
    const cached = store.layout.cached(digest)
    await mkdir(dirname(cached), { recursive: true })
    await writeFile(cached, content)
    expect(await store.pushed.pin(digest)).toBe(true)
    await rm(cached)
    expect(await readThrough(store.pushed)).toEqual(all)
    expect(await readdir(store.layout.trash)).toEqual([])
  })
})
