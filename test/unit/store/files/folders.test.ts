/** Folders that survive a power cut: which of them are synced, and when. */
import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { Folders } from '../../../../src/store/files/folders.ts'
import { isSettled } from '../../../support/is-settled.ts'
import { tempDir } from '../../../support/temp-dir.ts'

/** Syncs that end when the test says so. */
function heldSyncs() {
  const begun: string[] = []
  const held: PromiseWithResolvers<void>[] = []
  return {
    begun,
    folders: new Folders('/store', folder => {
      begun.push(folder)
      const hold = Promise.withResolvers<void>()
      held.push(hold)
      return hold.promise
    }),
    end: async (error?: Error) => {
      const hold = held.shift()
      if (error) hold?.reject(error)
      else hold?.resolve()
      await new Promise(setImmediate)
    },
  }
}

/** Lets syncs of a folder end at once, and tells which there were. */
function recordedSyncs(root: string) {
  const synced: string[] = []
  const folders = new Folders(root, async folder => {
    synced.push(folder.slice(root.length))
  })
  return { synced, folders }
}

test('who asks while a sync is under way waits for the next one, together with all others', async () => {
  const { begun, folders, end } = heldSyncs()
  const first = folders.sync('/store')
  const second = folders.sync('/store')
  const third = folders.sync('/store')
  expect(begun).toHaveLength(1)
  await end()
  await first
  expect(begun).toHaveLength(2)
  expect(await isSettled(second)).toBe(false)
  const fourth = folders.sync('/store')
  await end()
  await Promise.all([second, third])
  expect(await isSettled(fourth)).toBe(false)
  expect(begun).toHaveLength(3)
  await end()
  await fourth
})

test('syncs of different folders do not wait for each other', async () => {
  const { begun, folders } = heldSyncs()
  void folders.sync('/store/a')
  void folders.sync('/store/b')
  expect(begun).toEqual(['/store/a', '/store/b'])
})

test('a sync that fails fails for those who rode with it, and not for the next', async () => {
  const { folders, end } = heldSyncs()
  const first = folders.sync('/store')
  const second = folders.sync('/store')
  const third = folders.sync('/store')
  const outcomes = Promise.allSettled([first, second, third])
  await end(new Error('first'))
  await end(new Error('second'))
  expect((await outcomes).map(outcome => outcome.status === 'rejected' && outcome.reason.message)).toEqual([
    'first',
    'second',
    'second',
  ])
  const again = folders.sync('/store')
  await end()
  await again
})

test('the names of a folder and of those above it are on disk too, which is seen to once', async () => {
  const { synced, folders } = recordedSyncs('/store')
  await folders.sync('/store/names/a/_tags')
  expect(synced.splice(0)).toEqual(['/names/a/_tags', '/names/a', '/names', ''])
  await folders.sync('/store/names/a/_tags')
  expect(synced.splice(0)).toEqual(['/names/a/_tags'])
  await folders.sync('/store/names/b/_tags')
  expect(synced).toEqual(['/names/b/_tags', '/names/b', '/names'])
})

test('a folder whose parent could not be synced is not taken for safe', async () => {
  const failing = new Set(['/store/a'])
  const synced: string[] = []
  const folders = new Folders('/store', async folder => {
    if (failing.has(folder)) throw new Error('no')
    synced.push(folder)
  })
  await expect(folders.sync('/store/a/b')).rejects.toThrow('no')
  failing.clear()
  await folders.sync('/store/a/b')
  expect(synced).toEqual(['/store/a/b', '/store/a/b', '/store/a', '/store'])
})

test('a missing folder is made, and one that was removed meanwhile is synced into its parent again', async () => {
  await using dir = await tempDir()
  const { synced, folders } = recordedSyncs(dir.path)
  const put = async () => {
    await folders.into(dir.join('a/b'), () => writeFile(dir.join('a/b/file'), ''))
    await folders.sync(dir.join('a/b'))
  }
  await put()
  expect(synced.splice(0)).toEqual(['/a/b', '/a', ''])
  await rm(dir.join('a'), { recursive: true })
  await put()
  expect(synced).toEqual(['/a/b', '/a', ''])
  expect((await stat(dir.join('a/b/file'))).size).toBe(0)
})

test('a folder that somebody removes while it is empty is made again', async () => {
  await using dir = await tempDir()
  const { folders } = recordedSyncs(dir.path)
  let times = 0
  await folders.into(dir.join('a/b'), async () => {
    times += 1
    if (times === 2) await rm(dir.join('a'), { recursive: true })
    await writeFile(dir.join('a/b/file'), '')
  })
  expect(times).toBe(3)
})

test('what is missing besides the folder is an error, and so is what is in the way', async () => {
  await using dir = await tempDir()
  const { folders } = recordedSyncs(dir.path)
  const missing = () => stat(dir.join('missing'))
  await expect(folders.into(dir.join('a'), missing)).rejects.toMatchObject({ code: 'ENOENT' })
  await mkdir(dir.join('b'))
  await writeFile(dir.join('b/file'), '')
  const within = () => writeFile(dir.join('b/file/x'), '')
  await expect(folders.into(dir.join('b/file'), within)).rejects.toMatchObject({ code: 'ENOTDIR' })
})
