/** Backups and restores under trouble: cut off, on a full disk, and beside pushes and deletes. */
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, watch } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { restoreBackup } from '../../../src/backup/restore.ts'
import { takeBackup } from '../../../src/backup/take.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { type Digest, dashed, digestOf } from '../../../src/oci/digest.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { Layout } from '../../../src/store/layout.ts'
import { openLayout } from '../../../src/store/open.ts'
import { keyOf } from '../../conformance/index-samples.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { backupRig, type Image, lackingIn, recordsIn } from '../../unit/backup/backup-rig.ts'
import { seededRandom } from '../crashes.ts'
import { mayMount, readOnly, tinyDisk } from '../mounts.ts'
import { manifestOf, pushScene } from '../push/crash-scene.ts'
import { Command, configFor, summaryOf } from './scene.ts'

const note = mayMount ? '' : ' (skipped: mounting a small disk needs root)'
const log = createLogger('silent')
const app = keyOf('team/app', '_local')
const kiB = 1024

/** Texts of layers that are large enough for a kill to come between. */
const layersOf = (name: string, count: number) =>
  Array.from({ length: count }, (_, at) => `${name} ${at} `.repeat(5_000))

async function tagsIn(root: string): Promise<Map<string, string>> {
  const tags = [...(await recordsIn(root))].filter(([path]) => path.includes('/_tags/'))
  return new Map(
    tags.map(([path, text]) => [
      path.slice(path.lastIndexOf('/') + 1),
      (JSON.parse(text) as { digest: string }).digest,
    ]),
  )
}

/** Resolves when something in the folder changed so many times; ended by the signal. */
async function changes(folder: string, count: number, signal: AbortSignal): Promise<void> {
  let seen = 0
  try {
    for await (const _ of watch(folder, { signal })) {
      seen += 1
      if (seen >= count) return
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

describe('killed at any moment', () => {
  test('a backup is the earlier one or the new one, and the next run completes it', async () => {
    await using rig = await backupRig()
    await using dir = await tempDir()
    const config = await configFor(dir.path, rig.path)
    const random = seededRandom(7)
    await rig.pusher.image('team/app', layersOf('first', 4), { tags: ['v0'] })
    await rig.take()
    let earlier = await tagsIn(rig.path)
    let cut = 0
    for (let round = 1; round <= 5 || (cut === 0 && round <= 20); round += 1) {
      await rig.pusher.image('team/app', layersOf(`round ${round}`, 20), { tags: ['latest', `v${round}`] })
      await rig.holdings.dropTag(app, `v${round - 1}` as Tag)
      const newer = await tagsIn(rig.path)
      const stop = new AbortController()
      const seen = changes(join(rig.folder, 'trash'), 1 + Math.floor(random() * 40), stop.signal)
      const command = new Command(['backup', '--config', config, rig.folder])
      await Promise.race([seen, command.ended])
      stop.abort()
      const { code } = await command.kill()
      if (code === null) cut += 1
      const root = dir.join(`restored-${round}`)
      expect(await restoreBackup({ root, path: rig.folder, log })).toMatchObject({ damaged: 0 })
      const restored = await tagsIn(root)
      expect(code === 0 ? [newer] : [earlier, newer]).toContainEqual(restored)
      expect(await lackingIn(root)).toEqual([])
      earlier = restored
    }
    expect(cut).toBeGreaterThan(0)
    await rig.take()
    const root = dir.join('last')
    await restoreBackup({ root, path: rig.folder, log })
    expect(await recordsIn(root)).toEqual(await recordsIn(rig.path))
  })

  test('a restore never shows a tag without its image, takes no backup with it, and is completed by the next', async () => {
    await using rig = await backupRig()
    await using dir = await tempDir()
    for (let at = 0; at < 12; at += 1)
      await rig.pusher.image('team/app', layersOf(`image ${at}`, 4), { tags: [`v${at}`] })
    await rig.take()
    const list = await readFile(join(rig.folder, 'records.jsonl'), 'utf8')
    const root = dir.join('data')
    const config = await configFor(dir.path, root)
    const random = seededRandom(11)
    let cut = 0
    for (let round = 1; round <= 5 || (cut === 0 && round <= 20); round += 1) {
      await rm(root, { recursive: true, force: true })
      const made = await openLayout(root)
      made.unlock()
      const stop = new AbortController()
      const seen = changes(join(root, 'trash'), 1 + Math.floor(random() * 400), stop.signal)
      const command = new Command(['restore', '--config', config, rig.folder])
      await Promise.race([seen, command.ended])
      stop.abort()
      const { code } = await command.kill()
      const tags = await tagsIn(root)
      if (tags.size > 0) expect(await lackingIn(root)).toEqual([])
      if (code !== 0) {
        cut += 1
        await expect(takeBackup({ root, path: rig.folder, log })).rejects.toThrow('was not restored')
      }
      expect(await readFile(join(rig.folder, 'records.jsonl'), 'utf8')).toBe(list)
    }
    expect(cut).toBeGreaterThan(0)
    const { code } = await new Command(['restore', '--config', config, rig.folder]).ended
    expect(code).toBe(0)
    expect(await recordsIn(root)).toEqual(await recordsIn(rig.path))
    expect(await takeBackup({ root, path: rig.folder, log })).toMatchObject({ tags: 12, copiedFiles: 0 })
  })
})

describe('beside pushes and deletes', () => {
  test.each([
    1, 2, 3,
  ])('every tag of the backup has its image, and those that stayed are there (seed %i)', async seed => {
    await using rig = await backupRig()
    await using dir = await tempDir()
    const churn = new Churn(rig, seed)
    for (let at = 0; at < 12; at += 1) await churn.push(`stays-${at}`)
    for (let at = 0; at < 12; at += 1) await churn.push(`moves-${at}`)
    for (let round = 0; round < 3; round += 1) {
      const stop = new AbortController()
      const churning = churn.until(stop.signal)
      const taken = await rig.take()
      stop.abort()
      await churning
      expect(taken.damaged, JSON.stringify(rig.lines)).toBe(0)
      const root = dir.join(`restored-${round}`)
      expect(await restoreBackup({ root, path: rig.folder, log })).toMatchObject({ damaged: 0 })
      expect(await lackingIn(root)).toEqual([])
      const tags = await tagsIn(root)
      for (const [tag, digest] of tags) expect(churn.everOf(tag)).toContain(digest)
      for (let at = 0; at < 12; at += 1) expect(tags.has(`stays-${at}`)).toBe(true)
    }
    expect(churn.steps).toBeGreaterThan(0)
  })
})

type Rig = Awaited<ReturnType<typeof backupRig>>

/** Pushes, moves and deletes of images, whose bytes go as a collection of garbage takes them. */
class Churn {
  steps = 0
  readonly #rig: Rig
  readonly #random: () => number
  readonly #ever = new Map<string, Set<Digest>>()
  readonly #held = new Map<string, Image>()
  #count = 0

  constructor(rig: Rig, seed: number) {
    this.#rig = rig
    this.#random = seededRandom(seed)
  }

  everOf(tag: string): readonly Digest[] {
    return [...(this.#ever.get(tag) ?? [])]
  }

  async push(tag: string): Promise<void> {
    this.#count += 1
    const image = await this.#rig.pusher.image('team/app', [`${tag} ${this.#count} a`, `${this.#count} b`])
    const ever = this.#ever.get(tag) ?? new Set()
    this.#ever.set(tag, ever.add(image.digest))
    const body = await this.#rig.store.pushed.read(image.digest)
    await this.#rig.pusher.manifest('team/app', JSON.parse(String(body)) as object, [tag])
    const before = this.#held.get(tag)
    this.#held.set(tag, image)
    if (before) await this.#collect(before)
  }

  async until(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.steps += 1
      const number = Math.floor(this.#random() * 12)
      const action = this.#random()
      if (action < 0.5) await this.push(`stays-${number}`)
      else if (action < 0.75) await this.push(`moves-${number}`)
      else await this.#delete(`moves-${number}`)
    }
  }

  async #delete(tag: string): Promise<void> {
    const image = this.#held.get(tag)
    if (!image) return
    this.#held.delete(tag)
    await this.#collect(image)
  }

  /** With every tag that points at it; nothing else holds its blobs. */
  async #collect({ digest, blobs }: Image): Promise<void> {
    const { holdings, store } = this.#rig
    await holdings.dropManifest(app, digest, () => {})
    for (const blob of blobs) await holdings.dropBlob(app, blob, () => {})
    for (const gone of [digest, ...blobs]) await rm(store.layout.pushed(gone))
  }
}

describe.skipIf(!mayMount)(`a disk${note}`, () => {
  test('that gets full leaves the earlier backup, and the next run has room again', async () => {
    using disk = tinyDisk(4 * kiB * kiB)
    await using rig = await backupRig()
    await using dir = await tempDir()
    const path = join(disk.path, 'backup')
    await rig.pusher.image('team/app', layersOf('first', 2), { tags: ['v1'] })
    await takeBackup({ root: rig.path, path, log })
    await rig.pusher.image('team/app', layersOf('second', 8), { tags: ['v1', 'v2'] })
    await disk.fill()
    await expect(takeBackup({ root: rig.path, path, log })).rejects.toThrow(
      'could not be made, an earlier one is as it was: the disk is full',
    )
    await restoreBackup({ root: dir.join('one'), path, log })
    expect([...(await tagsIn(dir.join('one'))).keys()]).toEqual(['v1'])
    expect(await lackingIn(dir.join('one'))).toEqual([])
    await disk.empty()
    await takeBackup({ root: rig.path, path, log })
    await restoreBackup({ root: dir.join('two'), path, log })
    expect(await recordsIn(dir.join('two'))).toEqual(await recordsIn(rig.path))
  })

  test('that gets full under a restore ends it with one line, and it goes on when there is room', async () => {
    using disk = tinyDisk(4 * kiB * kiB)
    await using rig = await backupRig()
    await using dir = await tempDir()
    await rig.pusher.image('team/app', layersOf('image', 8), { tags: ['v1'] })
    await rig.take()
    const root = join(disk.path, 'data')
    const made = await openLayout(root)
    made.unlock()
    const config = await configFor(dir.path, root)
    await disk.fill()
    const refused = await new Command(['restore', '--config', config, rig.folder]).ended
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/^layover: .*the disk is full\n$/),
    ])
    await disk.empty()
    const { code } = await new Command(['restore', '--config', config, rig.folder]).ended
    expect(code).toBe(0)
    expect(await recordsIn(root)).toEqual(await recordsIn(rig.path))
  })

  test('that cannot be written is restored from', async () => {
    await using rig = await backupRig()
    await rig.pusher.image('team/app', ['a'], { tags: ['v1'] })
    await rig.take()
    using _ = readOnly(rig.folder)
    expect(await rig.restore()).toMatchObject({ tags: 1, damaged: 0 })
    await expect(rig.take()).rejects.toThrow('it is not writable by this user')
  })
})

describe('a registry', () => {
  test('backed up while it serves is served from what was restored, beside what the other one had', async () => {
    await using dir = await tempDir()
    await using from = await pushScene()
    await using to = await pushScene()
    const app = 'local/app'
    const blob = Buffer.from('a blob')
    const [first, other] = [manifestOf('first'), manifestOf('other')]
    const signature = manifestOf('signature', first)
    await from.post(app, blob)
    await from.putManifest(app, 'v1', first)
    await from.putManifest(app, 'signed', signature)
    await to.putManifest(app, 'mine', other)
    const tags = async () => String((await to.ask(`${app}/tags/list`)).body)
    expect(JSON.parse(await tags())).toMatchObject({ tags: ['mine'] }) // the index calls that all there is
    const path = dir.join('backup')
    expect(await takeBackup({ root: from.storePath, path, log })).toMatchObject({ tags: 2, damaged: 0 })
    await to.layover.stop()
    expect(await restoreBackup({ root: to.storePath, path, log })).toMatchObject({ tags: 2, damaged: 0 })
    await to.layover.restart()
    expect(JSON.parse(await tags())).toMatchObject({ tags: ['mine', 'signed', 'v1'] })
    expect((await to.ask(`${app}/manifests/v1`)).body.equals(first)).toBe(true)
    expect((await to.ask(`${app}/blobs/${digestOf(blob)}`)).body.equals(blob)).toBe(true)
    const referrers = await to.ask(`${app}/referrers/${digestOf(first)}`)
    expect(JSON.parse(String(referrers.body))).toMatchObject({ manifests: [{ digest: digestOf(signature) }] })
  })
})

describe('the command', () => {
  test('backs up three thousand tags, and puts them back', async () => {
    await using rig = await backupRig()
    await using dir = await tempDir()
    const { digest } = await rig.pusher.image('team/app', ['a', 'b'])
    const { layout, records } = rig.store
    const record = { v: 1, digest, mediaType: 'x', size: 1, movedAt: 1, source: 'push' } as const
    const tags = Array.from({ length: 3_000 }, (_, at) => `t${at}` as Tag)
    await mkdir(layout.tags(app), { recursive: true })
    for (let at = 0; at < tags.length; at += 100)
      await Promise.all(
        tags.slice(at, at + 100).map(tag => records.save(layout.tag(app, tag), record, { durable: false })),
      )
    const backup = await new Command(['backup', '-c', await configFor(dir.path, rig.path), rig.folder]).ended
    expect([backup.code, summaryOf(backup)]).toEqual([
      0,
      expect.objectContaining({ msg: 'backup complete', tags: 3_000, manifests: 1, blobs: 2 }),
    ])
    const root = dir.join('data')
    const restore = await new Command(['restore', '-c', await configFor(dir.path, root), rig.folder]).ended
    expect([restore.code, summaryOf(restore)]).toEqual([
      0,
      expect.objectContaining({ msg: 'restore complete', tags: 3_000 }),
    ])
    expect((await recordsIn(root)).size).toBe(3_003)
  })

  test('ends with 1 where something is damaged, and names it', async () => {
    await using rig = await backupRig()
    await using dir = await tempDir()
    const { digest, blobs } = await rig.pusher.image('team/app', ['a', 'b'], { tags: ['v1'] })
    const [blob = digest] = blobs
    await rm(rig.store.layout.pushed(blob))
    const backup = await new Command(['backup', '-c', await configFor(dir.path, rig.path), rig.folder]).ended
    expect([backup.code, backup.stderr, backup.stdout]).toEqual([1, '', expect.stringContaining(blob)])
    const restore = async () =>
      new Command(['restore', '-c', await configFor(dir.path, dir.join('data')), rig.folder]).ended
    expect((await restore()).code).toBe(0)
    await rm(new Layout(rig.folder).pushed(digest))
    await rm(dir.join('data'), { recursive: true })
    const damaged = await restore()
    expect([damaged.code, damaged.stdout]).toEqual([1, expect.stringContaining(digest)])
    expect(
      existsSync(join(dir.path, 'data', 'names', '_local', 'team/app', '_manifests', dashed(digest))),
    ).toBe(false)
  })

  test.each([
    [['backup'], 'say which folder the backup is in'],
    [['restore', 'a', 'b'], 'unexpected argument b'],
  ])('%j is a mistake of the command line', async (args, complaint) => {
    const { code, stderr } = await new Command(args).ended
    expect([code, stderr]).toEqual([2, expect.stringContaining(complaint)])
  })
})
