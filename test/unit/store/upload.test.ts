/** Upload sessions on real files. */
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdir, readdir, stat, utimes, writeFile } from 'node:fs/promises'
import { describe, expect, test, vi } from 'vitest'
import { createLogger } from '../../../src/observe/log.ts'
import { createMetrics } from '../../../src/observe/metrics.ts'
import { digestOf } from '../../../src/oci/digest.ts'
import { parseRepositoryName } from '../../../src/oci/name.ts'
import { localRegistry } from '../../../src/store/layout.ts'
import { openStore, type Store } from '../../../src/store/store.ts'
import { mayMount, tinyDisk } from '../../fault/mounts.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { openTestStore } from './store-rig.ts'

const mib = 1024 * 1024
const repository = parseRepositoryName('local/app')
const note = { v: 1, registry: localRegistry, repository, startedAt: 7, algorithm: 'sha256' } as const
const unused = () => false

const open = (path: string) => openStore(path, { log: createLogger('silent'), metrics: createMetrics() })

async function begin(store: Store) {
  const id = randomUUID()
  await store.uploads.create(id, note)
  return { id, upload: await store.uploads.open(id) }
}

async function listed(store: Store): Promise<string[]> {
  const ids: string[] = []
  for await (const { id } of store.uploads.list()) ids.push(id)
  return ids
}

describe('an upload', () => {
  test('grows, and is a pushed blob once committed', async () => {
    await using rig = await openTestStore()
    const { id, upload } = await begin(rig.store)
    const parts = [randomBytes(10), randomBytes(2 * mib), randomBytes(1)]
    for (const part of parts) await upload.append([part])
    const content = Buffer.concat(parts)
    expect(upload.written).toBe(content.length)
    const digest = digestOf(content, 'sha512')
    await upload.commit(digest)
    upload.close()
    expect(await rig.store.pushed.read(digest)).toEqual(content)
    expect(await rig.store.uploads.find(id)).toMatchObject({ id, note, size: 0 })
    await rig.store.uploads.remove(id)
    expect(await readdir(rig.store.layout.uploads)).toEqual([])
    expect(await readdir(rig.store.layout.trash)).toEqual([])
  })

  test('is gone on with after it was closed, and after a restart', async () => {
    await using dir = await tempDir()
    const before = await open(dir.path)
    const { id, upload } = await begin(before)
    await upload.append([Buffer.from('one ')])
    upload.close()
    upload.close()
    before.close()
    const store = await open(dir.path)
    expect(await store.uploads.find(id)).toMatchObject({ id, note, size: 4 })
    const again = await store.uploads.open(id)
    expect(again.written).toBe(4)
    await again.append([Buffer.from('two')])
    const digest = digestOf(Buffer.from('one two'))
    await again.commit(digest)
    again.close()
    expect((await store.pushed.read(digest))?.toString()).toBe('one two')
    store.close()
  })

  test('can be cut, and never made longer by it', async () => {
    await using rig = await openTestStore()
    const { upload } = await begin(rig.store)
    await upload.append([Buffer.from('12345678')])
    await upload.truncate(100)
    expect(upload.written).toBe(8)
    await upload.truncate(3)
    await upload.append([Buffer.from('!')])
    const digest = digestOf(Buffer.from('123!'))
    await upload.commit(digest)
    upload.close()
    expect((await rig.store.pushed.read(digest))?.toString()).toBe('123!')
  })

  test('of a digest that is there already replaces its bytes', async () => {
    await using rig = await openTestStore()
    const content = Buffer.from('whole')
    const digest = digestOf(content)
    await rig.store.pushed.put(digest, content)
    await writeFile(rig.store.layout.pushed(digest), 'torn')
    const { upload } = await begin(rig.store)
    await upload.append([content])
    await upload.commit(digest)
    upload.close()
    expect(await rig.store.pushed.read(digest)).toEqual(content)
  })

  test('many of one digest at once leave it whole, and all resolve', async () => {
    await using rig = await openTestStore()
    const content = randomBytes(100_000)
    const digest = digestOf(content)
    const push = async () => {
      const { id, upload } = await begin(rig.store)
      await upload.append([content])
      await upload.commit(digest)
      expect(await rig.store.pushed.read(digest)).toEqual(content)
      upload.close()
      await rig.store.uploads.remove(id)
    }
    await Promise.all(Array.from({ length: 30 }, push))
    expect(await rig.store.pushed.read(digest)).toEqual(content)
    expect(await readdir(rig.store.layout.uploads)).toEqual([])
  })

  test('that is removed while it is open can be written but not committed', async () => {
    await using rig = await openTestStore()
    const { id, upload } = await begin(rig.store)
    await upload.append([Buffer.from('some')])
    const removing = rig.store.uploads.remove(id)
    await Promise.all([removing, rig.store.uploads.remove(id)])
    expect(await rig.store.uploads.find(id)).toBeUndefined()
    await upload.append([Buffer.from('more')])
    const digest = digestOf(Buffer.from('somemore'))
    await expect(upload.commit(digest)).rejects.toMatchObject({ code: 'ENOENT' })
    upload.close()
    expect(await rig.store.pushed.size(digest)).toBeUndefined()
    await expect(rig.store.uploads.open(id)).rejects.toMatchObject({ code: 'ENOENT' })
  })
})

describe('syncs on the way', () => {
  const step = Buffer.alloc(32 * mib)

  test('keep what is not on disk below 128 MiB: an append waits for the sync', async () => {
    await using rig = await openTestStore()
    const { upload } = await begin(rig.store)
    const held = Promise.withResolvers<void>()
    const sync = vi.spyOn(upload.file, 'sync').mockReturnValueOnce(held.promise)
    for (let at = 0; at < 4; at += 1) await upload.append([step])
    expect(sync).toHaveBeenCalledOnce()
    let appended = false
    const fifth = upload.append([step]).then(() => {
      appended = true
    })
    await upload.file.size()
    expect(appended).toBe(false)
    held.resolve()
    await fifth
    expect(upload.written).toBe(5 * step.length)
    upload.close()
  })

  test('that fail take back what was not on disk; then it goes on', async () => {
    await using rig = await openTestStore()
    const { upload } = await begin(rig.store)
    for (let at = 0; at < 2; at += 1) await upload.append([step])
    const failure = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    const sync = vi.spyOn(upload.file, 'sync').mockRejectedValueOnce(failure)
    for (let at = 0; at < 2; at += 1) await upload.append([step])
    await vi.waitFor(() => expect(sync).toHaveBeenCalled(), { timeout: 5_000 })
    await expect(upload.append([step])).rejects.toThrow(failure)
    expect(upload.written).toBe(2 * step.length)
    expect(await upload.file.size()).toBe(2 * step.length)
    await upload.append([step])
    await upload.commit(digestOf(Buffer.alloc(3 * step.length)))
    upload.close()
  })

  test('a commit whose sync fails puts nothing under the digest', async () => {
    await using rig = await openTestStore()
    const { upload } = await begin(rig.store)
    await upload.append([Buffer.from('some')])
    const digest = digestOf(Buffer.from('some'))
    vi.spyOn(upload.file, 'sync').mockRejectedValueOnce(new Error('broken disk'))
    await expect(upload.commit(digest)).rejects.toThrow('broken disk')
    expect(upload.written).toBe(0)
    expect(await rig.store.pushed.size(digest)).toBeUndefined()
    upload.close()
  })

  test('of an upload that was long already do not stop it for good', async () => {
    await using rig = await openTestStore()
    const { id, upload } = await begin(rig.store)
    await upload.file.truncate(300 * mib)
    upload.close()
    const again = await rig.store.uploads.open(id)
    await again.append([Buffer.from('!')])
    expect(again.written).toBe(300 * mib + 1)
    again.close()
  })
})

describe('finding sessions', () => {
  test.each([
    ['torn', '{"v":1,"regis'],
    ['empty', ''],
    ['no object', 'null'],
    ['of another version', JSON.stringify({ ...note, v: 2 })],
    ['without a repository', JSON.stringify({ ...note, repository: undefined })],
    ['of a repository that is none', JSON.stringify({ ...note, repository: '../x' })],
    ['of an unknown algorithm', JSON.stringify({ ...note, algorithm: 'md5' })],
    ['without a start', JSON.stringify({ ...note, startedAt: 'today' })],
  ])('one whose note is %s is none', async (_, text) => {
    await using rig = await openTestStore()
    const { id, upload } = await begin(rig.store)
    upload.close()
    await writeFile(`${rig.store.layout.upload(id)}/session.json`, text)
    expect(await rig.store.uploads.find(id)).toBeUndefined()
    expect(await listed(rig.store)).toEqual([])
  })

  test('passes over what somebody else put there', async () => {
    await using rig = await openTestStore()
    const { uploads } = rig.store.layout
    const { id, upload } = await begin(rig.store)
    upload.close()
    await mkdir(`${uploads}/lost+found`)
    await mkdir(`${uploads}/${randomUUID()}`)
    await writeFile(`${uploads}/${randomUUID()}`, 'a file')
    expect(await listed(rig.store)).toEqual([id])
  })

  test.each([
    '..',
    '../../etc',
    '',
    'short',
    'a'.repeat(65),
    'a/b/c/d/e/f/g/h/i/j',
  ])('never leaves its folder: %j', async id => {
    await using rig = await openTestStore()
    expect(await rig.store.uploads.find(id)).toBeUndefined()
    await rig.store.uploads.remove(id)
    await expect(rig.store.uploads.create(id, note)).rejects.toThrow('no id')
    await expect(rig.store.uploads.open(id)).rejects.toThrow('no id')
  })

  test('an id is given once', async () => {
    await using rig = await openTestStore()
    const { id, upload } = await begin(rig.store)
    upload.close()
    await expect(rig.store.uploads.create(id, note)).rejects.toMatchObject({ code: 'EEXIST' })
    expect(await listed(rig.store)).toEqual([id])
  })
})

test('reaping removes what is idle, damaged ones too, and leaves alone what is in use or not ours', async () => {
  await using rig = await openTestStore()
  const { store } = rig
  const [idle, used, fresh, damaged] = await Promise.all(Array.from({ length: 4 }, () => begin(store)))
  if (!idle || !used || !fresh || !damaged) throw new Error('four were begun')
  await writeFile(`${store.layout.upload(damaged.id)}/session.json`, '{')
  await mkdir(`${store.layout.uploads}/lost+found`)
  for (const { id } of [idle, used, damaged]) await utimes(`${store.layout.upload(id)}/data`, 1, 1)
  const { mtimeMs } = await stat(`${store.layout.upload(fresh.id)}/data`)
  expect(
    await store.uploads.reap(mtimeMs + 500, {
      isIdle: at => mtimeMs + 500 - at >= 1_000,
      inUse: id => id === used.id,
    }),
  ).toBe(2)
  expect((await listed(store)).toSorted()).toEqual([used.id, fresh.id].toSorted())
  expect(await readdir(store.layout.uploads)).toHaveLength(3)
  expect(
    await store.uploads.reap(mtimeMs + 1_500, { isIdle: at => mtimeMs + 1_500 - at >= 1_000, inUse: unused }),
  ).toBe(2)
  for (const { upload } of [idle, used, fresh, damaged]) upload.close()
})

test('a session that was just being removed when the process was killed goes with the trash', async () => {
  await using rig = await openTestStore()
  const left = `${rig.store.layout.trash}/upload-left`
  await mkdir(left)
  await writeFile(`${left}/data`, 'x')
  await utimes(left, 1, 1)
  expect(await rig.store.reapPartials(1, Date.now())).toBe(1)
  expect(await readdir(rig.store.layout.trash)).toEqual([])
})

describe.skipIf(!mayMount)('(as root, who may mount) a disk that gets full', () => {
  test('takes back the half of an append, and the upload goes on when there is room', async () => {
    using disk = tinyDisk(8 * mib)
    const store = await open(`${disk.path}/store`)
    const { id, upload } = await begin(store)
    const parts = [randomBytes(mib), randomBytes(2 * mib)] as const
    await upload.append([parts[0]])
    await expect(upload.append([randomBytes(16 * mib)])).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(upload.written).toBe(mib)
    expect((await store.uploads.find(id))?.size).toBe(mib)
    await upload.append([parts[1]])
    const content = Buffer.concat(parts)
    await upload.commit(digestOf(content))
    upload.close()
    expect(await store.pushed.read(digestOf(content))).toEqual(content)
    store.close()
  })

  test('begins no session, and leaves nothing of it', async () => {
    using disk = tinyDisk(mib)
    const store = await open(`${disk.path}/store`)
    await disk.fill()
    await expect(store.uploads.create(randomUUID(), note)).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(await readdir(store.layout.uploads)).toEqual([])
    await disk.empty()
    const { upload } = await begin(store)
    upload.close()
    store.close()
  })
})
