/** A repository that changes between any two steps of its backup: what is in the backup was true at one moment. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { expect, test } from 'vitest'
import { BackupBytes } from '../../../src/backup/bytes.ts'
import type { Entry } from '../../../src/backup/entry.ts'
import { BackupFolder } from '../../../src/backup/folder.ts'
import { RepositoryCopy } from '../../../src/backup/repository-copy.ts'
import { blobRecord, manifestRecord, referrerRecord, tagRecord } from '../../../src/index/records.ts'
import { type Digest, digestOf } from '../../../src/oci/digest.ts'
import { type Descriptor, viewManifest } from '../../../src/oci/manifest.ts'
import { mediaTypes } from '../../../src/oci/media-type.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { Layout } from '../../../src/store/layout.ts'
import { keyOf } from '../../conformance/index-samples.ts'
import { tempDir } from '../../support/temp-dir.ts'

const app = keyOf('team/app', '_local')

/** Each path that it is asked for is a moment; at the chosen one something happens. */
class WatchedLayout extends Layout {
  moments = 0
  #at = 0
  #happens: () => void = () => {}

  happening(at: number, happens: () => void): void {
    this.moments = 0
    this.#at = at
    this.#happens = happens
  }

  override tag(...args: Parameters<Layout['tag']>): string {
    this.#moment()
    return super.tag(...args)
  }

  override manifest(...args: Parameters<Layout['manifest']>): string {
    this.#moment()
    return super.manifest(...args)
  }

  override blob(...args: Parameters<Layout['blob']>): string {
    this.#moment()
    return super.blob(...args)
  }

  override referrer(...args: Parameters<Layout['referrer']>): string {
    this.#moment()
    return super.referrer(...args)
  }

  override pushed(digest: Digest): string {
    this.#moment()
    return super.pushed(digest)
  }

  #moment(): void {
    this.moments += 1
    if (this.moments === this.#at) this.#happens()
  }
}

interface Pushed {
  digest: Digest
  blobs: Digest[]
  subject: Digest | undefined
  body: Buffer
}

/** The files of a push or a delete, in the order in which the registry writes and removes them. */
class Files {
  readonly #layout: Layout

  constructor(root: string) {
    this.#layout = new Layout(root)
  }

  push(name: string, tags: readonly string[], subject?: Digest): Pushed {
    const blobs = [`${name} config`, `${name} layer`].map(text => this.#blob(Buffer.from(text)))
    const layers = blobs.map(digest => ({ mediaType: 'a/b', digest, size: name.length }))
    const about = subject && { subject: { mediaType: 'a/b', digest: subject, size: 1 } }
    const body = Buffer.from(JSON.stringify({ mediaType: mediaTypes.ociManifest, name, layers, ...about }))
    return { ...this.#manifest(body, tags), blobs }
  }

  index(children: readonly Pushed[], tags: readonly string[]): Pushed {
    const manifests = children.map(({ digest }) => ({ mediaType: mediaTypes.ociManifest, digest, size: 1 }))
    return this.#manifest(Buffer.from(JSON.stringify({ mediaType: mediaTypes.ociIndex, manifests })), tags)
  }

  /** The first half of a delete: nobody sees the manifest any more. */
  begin({ digest, subject }: Pushed, tags: readonly string[]): void {
    for (const tag of tags) rmSync(this.#layout.tag(app, tag as Tag))
    if (subject) rmSync(this.#layout.referrer(app, subject, digest))
  }

  /** And its bytes, as the collection of garbage does later. */
  delete(pushed: Pushed, tags: readonly string[]): void {
    const { digest, blobs } = pushed
    this.begin(pushed, tags)
    rmSync(this.#layout.manifest(app, digest))
    for (const blob of blobs) rmSync(this.#layout.blob(app, blob))
    for (const gone of [digest, ...blobs]) rmSync(this.#layout.pushed(gone))
  }

  #blob(content: Buffer): Digest {
    const digest = digestOf(content)
    const entry = { size: content.length, isPublic: false }
    write(this.#layout.pushed(digest), content)
    write(this.#layout.blob(app, digest), JSON.stringify(blobRecord(entry, 1, 'push')))
    return digest
  }

  #manifest(body: Buffer, tags: readonly string[]): Pushed {
    const digest = digestOf(body)
    const subject = viewManifest(body)?.subject?.digest
    const descriptor: Descriptor = { mediaType: mediaTypes.ociManifest, digest, size: body.length }
    const entry = { ...descriptor, artifactType: undefined, subject, annotations: undefined }
    const record = manifestRecord({ ...entry, at: 1, pulledAt: undefined, isPublic: false }, 'push')
    write(this.#layout.pushed(digest), body)
    write(this.#layout.manifest(app, digest), JSON.stringify(record))
    if (subject)
      write(this.#layout.referrer(app, subject, digest), JSON.stringify(referrerRecord(descriptor)))
    const moved = { ...descriptor, movedAt: 1, checkedAt: 1, missingSince: undefined }
    for (const tag of tags) write(this.#layout.tag(app, tag as Tag), JSON.stringify(tagRecord(moved, 'push')))
    return { digest, blobs: [], subject, body }
  }
}

function write(path: string, content: Buffer | string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
}

/** @param index lists the image; it is only there where it is deleted too, or the image stays */
type Change = (files: Files, image: Pushed, index: Pushed) => void

const changes: [string, Change, { indexed: boolean }][] = [
  ['an image is deleted', (files, image) => files.delete(image, ['v1', 'latest']), { indexed: false }],
  ['half of it is deleted', (files, image) => files.begin(image, ['v1', 'latest']), { indexed: false }],
  [
    'its tags move, and it is deleted',
    (files, image) => {
      files.push('another', ['v1', 'latest'])
      files.delete(image, [])
    },
    { indexed: false },
  ],
  [
    'it is deleted and pushed again',
    (files, image) => {
      files.delete(image, ['v1', 'latest'])
      files.push('image', ['v1', 'latest'], image.subject)
    },
    { indexed: false },
  ],
  [
    'an index is deleted with what it lists',
    (files, image, index) => {
      files.delete(index, ['all'])
      files.delete(image, ['v1', 'latest'])
    },
    { indexed: true },
  ],
  [
    'another index comes',
    files => void files.index([files.push('new', [])], ['all', 'new']),
    { indexed: true },
  ],
]

/** They wait for the disk most of the time. */
const atOnce = 6

test.each(changes)('%s', async (_name, change, { indexed }) => {
  for (let first = 1, isOver = false; !isOver; first += atOnce) {
    const moments = Array.from({ length: atOnce }, (_, nth) => changedAt(first + nth, change, { indexed }))
    isOver = (await Promise.all(moments)).includes(false)
  }
})

/** Resolves with false when the backup is over before that moment. */
async function changedAt(at: number, change: Change, { indexed }: { indexed: boolean }): Promise<boolean> {
  await using dir = await tempDir()
  const root = dir.join('data')
  const files = new Files(root)
  const stays = files.push('stays', ['stays'])
  const image = files.push('image', ['v1', 'latest'], stays.digest)
  const index = indexed ? files.index([image, stays], ['all']) : stays
  const store = new WatchedLayout(root)
  store.happening(at, () => change(files, image, index))
  const { entries, damaged, folder } = await backUp(store, dir.join('backup'))
  expect(damaged, `at moment ${at}`).toEqual([])
  expect(lacking(entries, folder.layout), `at moment ${at}`).toEqual([])
  expect(entries).toContainEqual(expect.objectContaining({ kind: 'tag', tag: 'stays' }))
  return store.moments >= at
}

async function backUp(store: Layout, path: string) {
  const folder = await BackupFolder.openFor(store, 'id', path)
  const entries: Entry[] = []
  const damaged: unknown[] = []
  await new RepositoryCopy(app, {
    store,
    bytes: new BackupBytes({ store, folder, verify: false, lookAgainMs: 1 }),
    add: async entry => void entries.push(entry),
    damaged: (what, { message }) => damaged.push({ ...what, message }),
  }).run()
  folder.close()
  return { entries, damaged, folder }
}

/** What entries need and is not in the backup. */
function lacking(entries: readonly Entry[], backup: Layout): string[] {
  const held = new Set(
    entries.map(entry => `${entry.kind} ${entry.kind === 'tag' ? entry.tag : entry.digest}`),
  )
  const tagged = new Set(entries.map(({ kind, record }) => (kind === 'tag' ? record.digest : undefined)))
  const missing: string[] = []
  const need = (name: string) => void (held.has(name) || missing.push(name))
  for (const entry of entries) {
    if (entry.kind === 'tag') need(`manifest ${String(entry.record.digest)}`)
    if (entry.kind !== 'blob' && entry.kind !== 'manifest') continue
    if (!existsSync(backup.pushed(entry.digest))) missing.push(`bytes of ${entry.digest}`)
    if (entry.kind === 'blob') continue
    const view = viewManifest(readFileSync(backup.pushed(entry.digest)))
    for (const { digest } of view?.blobs ?? []) need(`blob ${digest}`)
    for (const { digest } of view?.manifests ?? []) need(`manifest ${digest}`)
    if (view?.subject && tagged.has(entry.digest)) need(`referrer ${entry.digest}`)
  }
  return missing
}
