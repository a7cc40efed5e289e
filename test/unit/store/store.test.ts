/** Bytes by digest, on real files. */
import { readdir, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { openTestStore } from './store-rig.ts'

const content = Buffer.from('some content')
const digest = digestOf(content)

describe('store', () => {
  test('what was put is there to be opened, read and measured', async () => {
    await using rig = await openTestStore()
    const { store } = rig
    await store.put(digest, content)
    expect(await store.read(digest)).toEqual(content)
    expect(await store.size(digest)).toBe(content.length)
    const stored = await store.open(digest)
    expect(stored?.size).toBe(content.length)
    const target = Buffer.alloc(100)
    expect(await stored?.file.read(target, 5)).toBe(content.length - 5)
    expect(await stored?.file.read(target, content.length)).toBe(0)
    stored?.file.release()
    expect(await readdir(store.layout.trash)).toEqual([])
  })

  test('what is not there is undefined and no error', async () => {
    await using rig = await openTestStore()
    expect(await rig.store.read(digest)).toBeUndefined()
    expect(await rig.store.size(digest)).toBeUndefined()
    expect(await rig.store.open(digest)).toBeUndefined()
  })

  test('an opened file stays readable when its name gets other content', async () => {
    await using rig = await openTestStore()
    await rig.store.put(digest, content)
    const before = await rig.store.open(digest)
    await rig.store.put(digest, Buffer.from('healed'))
    const target = Buffer.alloc(content.length)
    expect(await before?.file.read(target, 0)).toBe(content.length)
    expect(target).toEqual(content)
    before?.file.release()
    expect(await rig.store.size(digest)).toBe(6)
  })

  test('many puts of one digest at once leave it whole', async () => {
    await using rig = await openTestStore()
    await Promise.all(Array.from({ length: 50 }, () => rig.store.put(digest, content)))
    expect(await rig.store.read(digest)).toEqual(content)
    expect(await readdir(rig.store.layout.trash)).toEqual([])
  })

  test('sha256 and sha512 of the same content lie apart', async () => {
    await using rig = await openTestStore()
    const long = digestOf(content, 'sha512')
    await rig.store.put(long, content)
    expect(await rig.store.size(digest)).toBeUndefined()
    expect(await rig.store.size(long)).toBe(content.length)
  })

  test('a file where a folder should be is an error and not an absence', async () => {
    await using rig = await openTestStore()
    await writeFile(`${rig.path}/cached`, '')
    await expect(rig.store.put(digest, content)).rejects.toThrow()
    expect(await readdir(rig.store.layout.trash)).toEqual([])
  })

  test('the probe can be repeated', async () => {
    await using rig = await openTestStore()
    await rig.store.probe()
    await Promise.all([rig.store.probe(), rig.store.probe()])
  })
})
