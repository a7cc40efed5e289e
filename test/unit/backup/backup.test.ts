/** Backups and their restore: what comes back is what was pushed, and what is damaged is named. */
import { existsSync } from 'node:fs'
import { appendFile, copyFile, cp, mkdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { toLine } from '../../../src/backup/entry.ts'
import { takeBackup } from '../../../src/backup/take.ts'
import { createLogger } from '../../../src/observe/log.ts'
import type { Digest } from '../../../src/oci/digest.ts'
import { mediaTypes } from '../../../src/oci/media-type.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { takeLock } from '../../../src/store/files/owner.ts'
import { Layout } from '../../../src/store/layout.ts'
import { openLayout } from '../../../src/store/open.ts'
import { keyOf } from '../../conformance/index-samples.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { backupRig, lackingIn, recordsIn } from './backup-rig.ts'

type Rig = Awaited<ReturnType<typeof backupRig>>

const app = keyOf('team/app', '_local')

/** Two images under tags, one that refers to the first, an index of both, and a blob that nothing lists. */
async function fill({ pusher }: Rig) {
  const one = await pusher.image('team/app', ['base', 'one'], { tags: ['v1', 'latest'] })
  const two = await pusher.image('team/app', ['base', 'two'], { tags: ['v2'] })
  const signature = await pusher.image('team/app', ['signature\u2028'], { subject: one.digest })
  const manifests = [one, two].map(({ digest }) => ({ mediaType: mediaTypes.ociManifest, digest, size: 9 }))
  const index = await pusher.manifest('team/app', { mediaType: mediaTypes.ociIndex, manifests }, ['all'])
  const loose = await pusher.blob('other', 'loose')
  return { one, two, signature, index, loose }
}

async function damage(path: string): Promise<void> {
  const content = await readFile(path)
  content[0] = (content[0] ?? 0) ^ 1
  await writeFile(path, content)
}

const filesOf = (root: string, ...digests: Digest[]) => digests.map(digest => new Layout(root).pushed(digest))

describe('a backup', () => {
  test('restored into an empty folder is every record and every byte that was pushed', async () => {
    await using rig = await backupRig()
    await fill(rig)
    expect(await rig.take()).toEqual({
      repositories: 2,
      tags: 4,
      manifests: 4,
      blobs: 5,
      copiedFiles: 9,
      copiedBytes: expect.any(Number),
      removedFiles: 0,
      damaged: 0,
    })
    expect(await rig.restore()).toMatchObject({
      repositories: 2,
      tags: 4,
      manifests: 4,
      blobs: 5,
      copiedFiles: 9,
      conflicts: 0,
      damaged: 0,
    })
    expect(await recordsIn(rig.restored)).toEqual(await recordsIn(rig.path))
    expect(await lackingIn(rig.restored)).toEqual([])
  })

  test('copies nothing twice, and takes away what no record needs any more', async () => {
    await using rig = await backupRig()
    const { two } = await fill(rig)
    await rig.take()
    expect(await rig.take()).toMatchObject({ tags: 4, copiedFiles: 0, copiedBytes: 0, removedFiles: 0 })
    await rig.holdings.dropTag(app, 'all' as Tag)
    await rig.holdings.dropManifest(app, two.digest, () => {})
    for (const digest of two.blobs.slice(1)) await rig.holdings.dropBlob(app, digest, () => {})
    expect(await rig.take()).toMatchObject({ copiedFiles: 0, removedFiles: 2 })
    for (const path of filesOf(rig.folder, two.digest, two.blobs[1] ?? two.digest))
      expect(existsSync(path)).toBe(false)
    await rig.restore()
    expect(await recordsIn(rig.restored)).toEqual(await recordsIn(rig.path))
  })

  test('holds what was mounted from cached bytes that could not be linked', async () => {
    await using rig = await backupRig()
    const digest = await rig.pusher.blob('team/app', 'cached')
    const { layout } = rig.store
    await mkdir(join(layout.cached(digest), '..'), { recursive: true })
    await copyFile(layout.pushed(digest), layout.cached(digest))
    await rm(layout.pushed(digest))
    expect(await rig.take()).toMatchObject({ blobs: 1, damaged: 0 })
    await rig.restore()
    expect(await lackingIn(rig.restored)).toEqual([])
  })

  test('holds no cached content', async () => {
    await using rig = await backupRig()
    const { catalog } = rig.assemble()
    await catalog.putBlob(keyOf('library/alpine'), await rig.pusher.blob('a', 'a'), {
      size: 1,
      isPublic: true,
    })
    expect(await rig.take()).toMatchObject({ repositories: 1, blobs: 1 })
  })

  test('is made of a store whose tag has no manifest, but for that tag, and says so', async () => {
    await using rig = await backupRig()
    const { one } = await fill(rig)
    await rm(rig.store.layout.manifest(app, one.digest))
    expect(await rig.take()).toMatchObject({ tags: 2, damaged: 2 })
    expect(rig.lines).toContainEqual(
      expect.objectContaining({
        repository: 'team/app',
        tag: 'v1',
        reason: expect.stringContaining('not there'),
      }),
    )
  })
})

describe('damage in the store', () => {
  const cases: [string, (path: string) => Promise<void>, string][] = [
    ['a flipped bit', damage, 'another digest'],
    ['a lost end', path => truncate(path, 1), 'another digest'],
    ['missing bytes', path => rm(path), 'are not there'],
    [
      'a folder in the place of bytes',
      path =>
        rm(path)
          .then(() => mkdir(path))
          .then(() => {}),
      'cannot be read',
    ],
  ]

  test.each(cases)('%s: named, and all the rest is in the backup', async (_name, harm, reason) => {
    await using rig = await backupRig()
    const { one } = await fill(rig)
    const [, layer = one.digest] = one.blobs
    await harm(rig.store.layout.pushed(layer))
    expect(await rig.take()).toMatchObject({ tags: 4, manifests: 4, blobs: 4, damaged: 1 })
    expect(rig.lines).toContainEqual(
      expect.objectContaining({ level: 'error', blob: layer, reason: expect.stringContaining(reason) }),
    )
    await rig.restore()
    expect(await lackingIn(rig.restored)).toEqual([expect.stringContaining(layer.replace(':', '-'))])
  })

  test('of bytes that the backup has is mended by a restore, and never taken over', async () => {
    await using rig = await backupRig()
    const { one, two } = await fill(rig)
    await rig.take()
    await damage(rig.store.layout.pushed(one.digest))
    await rm(rig.store.layout.pushed(two.digest))
    expect(await rig.take()).toMatchObject({ copiedFiles: 0, damaged: 0 })
    await cp(rig.path, rig.restored, { recursive: true })
    expect(await rig.restore({ verify: true })).toMatchObject({ copiedFiles: 2 })
    expect(await lackingIn(rig.restored)).toEqual([])
  })

  test('of a record leaves its bytes in the backup', async () => {
    await using rig = await backupRig()
    const { loose } = await fill(rig)
    await rig.take()
    await writeFile(rig.store.layout.blob(keyOf('other', '_local'), loose), '{"v":1,"si')
    expect(await rig.take()).toMatchObject({ blobs: 4, removedFiles: 0, damaged: 1 })
    expect(filesOf(rig.folder, loose).map(path => existsSync(path))).toEqual([true])
  })
})

describe('damage in the backup', () => {
  test('is found by a run that verifies, and mended', async () => {
    await using rig = await backupRig()
    const { one } = await fill(rig)
    await rig.take()
    const [path = ''] = filesOf(rig.folder, one.blobs[0] ?? one.digest)
    await damage(path)
    expect(await rig.take()).toMatchObject({ copiedFiles: 0 })
    expect(await rig.take({ verify: true })).toMatchObject({ copiedFiles: 1 })
    expect(await rig.take({ verify: true })).toMatchObject({ copiedFiles: 0 })
    await rig.restore()
    expect(await lackingIn(rig.restored)).toEqual([])
  })

  test('of bytes leaves their records out, names them, and restores the rest', async () => {
    await using rig = await backupRig()
    const { one, two } = await fill(rig)
    await rig.take()
    const [manifest = '', layer = ''] = filesOf(rig.folder, two.digest, one.blobs[1] ?? one.digest)
    await damage(manifest)
    await rm(layer)
    expect(await rig.restore()).toMatchObject({ tags: 3, manifests: 3, blobs: 4, damaged: 3 })
    const records = await recordsIn(rig.restored)
    expect([...records.keys()].filter(path => path.includes('_tags')).sort()).toEqual(
      ['all', 'latest', 'v1'].map(tag => `team/app/_tags/${tag}`),
    )
  })

  test('of one line of the list leaves that record out, also where it is JSON still', async () => {
    await using rig = await backupRig()
    await fill(rig)
    await rig.take()
    const path = join(rig.folder, 'records.jsonl')
    const text = await readFile(path, 'utf8')
    await writeFile(path, text.replace('"tag":"v2"', '"tag":"v3"'))
    expect(await rig.restore()).toMatchObject({ tags: 3, damaged: 1 })
    expect(rig.lines).toContainEqual(expect.objectContaining({ line: expect.any(Number) }))
  })

  test('a list that lost its end says so', async () => {
    await using rig = await backupRig()
    await fill(rig)
    await rig.take()
    const path = join(rig.folder, 'records.jsonl')
    await truncate(path, (await stat(path)).size - 3)
    expect((await rig.restore()).damaged).toBeGreaterThan(0)
  })

  test('a line that would lead out of the store is not followed', async () => {
    await using rig = await backupRig()
    await fill(rig)
    await rig.take()
    const record = { v: 1, size: 1, at: 1, source: 'push' }
    const path = join(rig.folder, 'records.jsonl')
    const digest = `sha256:${'a'.repeat(64)}`
    const evil = [
      { kind: 'blob', repository: '../../../x', digest, record },
      { kind: 'blob', repository: 'x', digest: 'sha256:../x', record },
      { kind: 'tag', repository: 'x', tag: '../x', record },
    ]
    await writeFile(path, evil.map(toLine).join('') + (await readFile(path, 'utf8')))
    expect(await rig.restore()).toMatchObject({ tags: 4, damaged: 3 })
  })
})

describe('a restore', () => {
  test('into a store that holds something changes none of it, and names the tags that differ', async () => {
    await using rig = await backupRig()
    const { one } = await fill(rig)
    await rig.take()
    const three = await rig.pusher.image('team/app', ['three'], { tags: ['v1', 'v9'] })
    await rig.holdings.dropTag(app, 'v2' as Tag)
    await cp(rig.path, rig.restored, { recursive: true })
    const layout = new Layout(rig.restored)
    expect(await rig.restore()).toMatchObject({ tags: 3, conflicts: 1, copiedFiles: 0 })
    const tag = async (name: string) =>
      (JSON.parse(await readFile(layout.tag(app, name as Tag), 'utf8')) as { digest: string }).digest
    expect([await tag('v1'), await tag('v9')]).toEqual([three.digest, three.digest])
    expect(await tag('v2')).toMatch(/^sha256:/)
    expect(rig.lines).toContainEqual(
      expect.objectContaining({ tag: 'v1', store: three.digest, backup: one.digest }),
    )
    expect(await rig.restore({ replace: true })).toMatchObject({ tags: 4, conflicts: 0 })
    expect([await tag('v1'), await tag('v9')]).toEqual([one.digest, three.digest])
    expect(await lackingIn(rig.restored)).toEqual([])
  })

  test('has the index made anew, which knew of nothing', async () => {
    await using rig = await backupRig()
    await fill(rig)
    await rig.take()
    await mkdir(rig.restored)
    for (const suffix of ['', '-wal', '-shm'])
      await writeFile(join(rig.restored, `index.sqlite${suffix}`), 'old')
    await rig.restore()
    for (const suffix of ['', '-wal', '-shm'])
      expect(existsSync(join(rig.restored, `index.sqlite${suffix}`))).toBe(false)
  })

  test('is refused while a process has the store', async () => {
    await using rig = await backupRig()
    await fill(rig)
    await rig.take()
    await expect(rig.restore({ root: rig.path })).rejects.toThrow(/is in use by process/)
  })

  test('makes the store the one that the backup is of', async () => {
    await using rig = await backupRig()
    await fill(rig)
    await rig.take()
    await rig.restore()
    const again = { root: rig.restored, path: rig.folder, log: createLogger('silent') }
    expect(await takeBackup(again)).toMatchObject({ tags: 4, copiedFiles: 0, removedFiles: 0 })
  })
})

describe('refused with what to do', () => {
  test('a backup of another store, whose content it would take away', async () => {
    await using rig = await backupRig()
    await using other = await backupRig()
    await fill(rig)
    await rig.take()
    await expect(
      takeBackup({ root: other.path, path: rig.folder, log: createLogger('silent') }),
    ).rejects.toThrow('is the backup of another store')
  })

  test('a store of which everything is gone, while its backup has it', async () => {
    await using rig = await backupRig()
    await fill(rig)
    await rig.take()
    await rm(join(rig.path, 'names', '_local'), { recursive: true })
    await expect(rig.take()).rejects.toThrow('holds nothing that was pushed, and its backup does')
    expect(await rig.restore()).toMatchObject({ tags: 4, damaged: 0 })
  })

  test.each([
    ['the store itself', '.'],
    ['a folder in it', 'backup'],
    ['one that it lies in', '..'],
  ])('%s as the folder', async (_name, way) => {
    await using rig = await backupRig()
    await expect(
      takeBackup({ root: rig.path, path: join(rig.path, way), log: createLogger('silent') }),
    ).rejects.toThrow('have to lie apart')
  })

  test('a folder with something else in it, a newer backup, a store that is not there, no backup', async () => {
    await using rig = await backupRig()
    await using dir = await tempDir()
    await expect(rig.restore()).rejects.toThrow('there is no backup in')
    await mkdir(rig.folder)
    await appendFile(join(rig.folder, 'letters.txt'), '')
    await expect(rig.take()).rejects.toThrow('is no backup and not empty: it holds letters.txt')
    await rm(join(rig.folder, 'letters.txt'))
    await rig.take()
    await expect(rig.restore({ root: dir.path })).resolves.toMatchObject({ tags: 0 })
    await writeFile(join(rig.folder, 'backup.json'), '{"v":2,"store":"x"}')
    await expect(rig.take()).rejects.toThrow(
      'has format 2, this program knows 1: use the program that wrote it',
    )
    await expect(rig.restore()).rejects.toThrow('has format 2')
    await expect(
      takeBackup({ root: dir.join('none'), path: dir.join('b'), log: createLogger('silent') }),
    ).rejects.toThrow('there is no store at')
  })

  test('two at once', async () => {
    await using rig = await backupRig()
    await fill(rig)
    await rig.take()
    const { unlock } = await openLayout(join(rig.restored))
    unlock()
    const release = takeLock(join(rig.folder, 'lock'), 'it')
    await expect(rig.take()).rejects.toThrow(/is in use by process/)
    await expect(rig.restore()).rejects.toThrow(/is in use by process/)
    release()
  })
})
