/** Restoring a backup into a store that no other process owns: bytes first, then the records that need them. */
import { randomUUID } from 'node:crypto'
import { readFile, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { tagEntry } from '../index/records.ts'
import type { Counted } from '../index/reindex.ts'
import type { Logger } from '../observe/log.ts'
import type { Digest } from '../oci/digest.ts'
import { WholeFiles } from '../store/files/durable.ts'
import { syncFolder } from '../store/files/folders.ts'
import { ifThere } from '../store/files/system-error.ts'
import { readFormat, writeFormat } from '../store/format.ts'
import { type Layout, localRegistry } from '../store/layout.ts'
import { openLayout } from '../store/open.ts'
import type { StoredRecord } from '../store/records.ts'
import { allDone } from '../stream/all-done.ts'
import { copySound, isSound } from './copy.ts'
import { type Entry, nameOf, parseRecord, pathOf } from './entry.ts'
import { asFailure, BackupFailed, Damaged, readable } from './failure.ts'
import { BackupFolder } from './folder.ts'
import { readList } from './list.ts'

export interface RestoreOptions {
  /** The store's folder. */
  readonly root: string
  /** The backup's. */
  readonly path: string
  readonly log: Logger
  /** A tag that points elsewhere in the store comes to point where the backup's does. */
  readonly replace?: boolean
  /** Reads again what the store has already. */
  readonly verify?: boolean
}

export interface Restored extends Readonly<Counted> {
  readonly copiedFiles: number
  readonly copiedBytes: number
  /** Tags that point elsewhere in the store, and were left so. */
  readonly conflicts: number
  /** What the backup has not whole. */
  readonly damaged: number
}

/**
 * May be cut off at any moment and run again.
 *
 * @throws BackupFailed, StoreUnusable
 */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  const { root, path } = options
  try {
    const { folder, id } = await BackupFolder.openToRead(path)
    try {
      if (!(await ifThere(stat(folder.list.list))))
        throw new BackupFailed(`no run of the backup ${path} was ever completed`)
      const { layout, unlock } = await openLayout(root)
      try {
        return await runIn(layout, { folder, id, options })
      } finally {
        unlock()
      }
    } finally {
      folder.close()
    }
  } catch (error) {
    throw asFailure(error, `${path} could not be restored to the end; run it again when that is mended`)
  }
}

async function runIn(
  layout: Layout,
  { folder, id, options }: { folder: BackupFolder; id: string; options: RestoreOptions },
): Promise<Restored> {
  const files = new WholeFiles(layout)
  try {
    return await new Run({ layout, folder, files, options }).run(id)
  } finally {
    files.folders.close()
  }
}

interface RunDeps {
  readonly layout: Layout
  readonly folder: BackupFolder
  readonly files: WholeFiles
  readonly options: RestoreOptions
}

type Held = Extract<Entry, { kind: 'blob' | 'manifest' }>
type TagOf = Extract<Entry, { kind: 'tag' }>

const atOnce = 16

class Run {
  readonly #layout: Layout
  readonly #folder: BackupFolder
  readonly #files: WholeFiles
  readonly #options: RestoreOptions
  /** Their bytes are not to be had. */
  readonly #lacking = new Set<Digest>()
  readonly #verified = new Set<Digest>()
  readonly #folders = new Set<string>()
  readonly #repositories = new Set<string>()
  readonly #counts = { tag: 0, manifest: 0, blob: 0, referrer: 0 }
  #copiedFiles = 0
  #copiedBytes = 0
  #conflicts = 0
  #damaged = 0

  constructor({ layout, folder, files, options }: RunDeps) {
    this.#layout = layout
    this.#folder = folder
    this.#files = files
    this.#options = options
  }

  /** @param id of the store that the backup is of: from the end on this one is that one */
  async run(id: string): Promise<Restored> {
    const format = await readFormat(this.#layout)
    if (!format) throw new Error('a store that was opened has a format')
    // Until then it is another: a backup of what is half restored must not take the place of this one.
    await writeFormat(this.#layout, { ...format, id: randomUUID() })
    await this.#each('report', entry => this.#bringBytes(entry))
    for (const folder of this.#folders) await this.#files.folders.sync(folder)
    await this.#dropIndex()
    await this.#each('pass over', async entry => entry.kind !== 'tag' && this.#create(entry))
    await this.#each('pass over', async entry => entry.kind === 'tag' && this.#createTag(entry))
    await writeFormat(this.#layout, { ...format, id })
    const { tag: tags, manifest: manifests, blob: blobs } = this.#counts
    return {
      repositories: this.#repositories.size,
      tags,
      manifests,
      blobs,
      copiedFiles: this.#copiedFiles,
      copiedBytes: this.#copiedBytes,
      conflicts: this.#conflicts,
      damaged: this.#damaged,
    }
  }

  async #each(bad: 'report' | 'pass over', task: (entry: Entry) => Promise<unknown>): Promise<void> {
    let batch: Entry[] = []
    const work = async () => {
      const entries = batch
      batch = []
      await allDone(entries.map(task))
    }
    for await (const entry of readList(this.#folder.list.list)) {
      if ('line' in entry) {
        if (bad === 'report') this.#reportLine(entry.line)
        continue
      }
      batch.push(entry)
      if (batch.length === atOnce) await work()
    }
    await work()
  }

  async #bringBytes(entry: Entry): Promise<void> {
    if (entry.kind !== 'blob' && entry.kind !== 'manifest') return
    try {
      if (await this.#isThere(entry)) return
      await this.#copy(entry)
    } catch (error) {
      if (!(error instanceof Damaged)) throw error
      this.#lacking.add(entry.digest)
      this.#report(entry, error.message)
    }
  }

  async #isThere({ digest, record }: Held): Promise<boolean> {
    const path = this.#layout.pushed(digest)
    const found = await ifThere(stat(path))
    if (!found || found.size !== (record.size ?? found.size)) return false
    if (this.#options.verify && !this.#verified.has(digest) && !(await isSound(path, digest))) return false
    this.#verified.add(digest)
    this.#folders.add(dirname(path)) // an earlier run may have been cut off before it was synced
    return true
  }

  async #copy({ digest, record }: Held): Promise<void> {
    const scratch = this.#files.scratch()
    const size = await copySound(this.#folder.layout.pushed(digest), scratch, digest)
    if (size === undefined) throw new Damaged('its bytes are not in the backup')
    if (size !== (record.size ?? size)) {
      await rm(scratch, { force: true })
      throw new Damaged(`it has ${size} bytes, its record says ${String(record.size)}`)
    }
    const path = this.#layout.pushed(digest)
    await this.#files.move(scratch, path, { durable: false })
    this.#verified.add(digest)
    this.#folders.add(dirname(path))
    this.#copiedFiles += 1
    this.#copiedBytes += size
  }

  /** It would call what it knows all there is. It is made anew, listing by listing. */
  async #dropIndex(): Promise<void> {
    for (const suffix of ['', '-wal', '-shm']) await rm(this.#layout.index + suffix, { force: true })
    await syncFolder(this.#layout.root)
  }

  async #create(entry: Exclude<Entry, TagOf>): Promise<void> {
    if (this.#lacking.has(entry.digest)) return
    const path = pathOf(this.#layout, entry)
    if (!(await this.#createAt(path, entry.record)) && (await this.#recordAt(path)) === undefined)
      await this.#files.write(path, JSON.stringify(entry.record), { durable: true })
    this.#count(entry)
  }

  async #createTag(entry: TagOf): Promise<void> {
    const wanted = tagEntry(entry.record)?.digest
    const key = { registry: localRegistry, repository: entry.repository }
    if (!wanted || !(await this.#recordAt(this.#layout.manifest(key, wanted)))) {
      this.#report(entry, `its manifest ${wanted} could not be restored`)
      return
    }
    const path = pathOf(this.#layout, entry)
    if (!(await this.#createAt(path, entry.record)) && !(await this.#settleTag(path, entry, wanted))) return
    this.#count(entry)
  }

  /** Resolves with whether the tag is as in the backup. */
  async #settleTag(path: string, entry: TagOf, wanted: Digest): Promise<boolean> {
    const record = await this.#recordAt(path)
    const current = record && tagEntry(record)?.digest
    if (current === wanted) return true
    if (current !== undefined && !this.#options.replace) {
      this.#conflicts += 1
      const points = { ...nameOf(entry), store: current, backup: wanted }
      this.#options.log.warn(points, 'the tag points elsewhere in the store, and stays: --replace moves it')
      return false
    }
    await this.#files.write(path, JSON.stringify(entry.record), { durable: true })
    return true
  }

  /** Resolves with false when there is a record already. */
  #createAt(path: string, record: StoredRecord): Promise<boolean> {
    return this.#files.create(path, JSON.stringify(record), { durable: true })
  }

  /** Undefined where there is none, or a damaged one: the backup's is better. */
  async #recordAt(path: string): Promise<StoredRecord | undefined> {
    const text = await readable(readFile(path, 'utf8'))
    return text === undefined ? undefined : parseRecord(text)
  }

  #count(entry: Entry): void {
    this.#counts[entry.kind] += 1
    this.#repositories.add(entry.repository)
  }

  #report(entry: Entry, reason: string): void {
    this.#damaged += 1
    this.#options.log.error({ ...nameOf(entry), reason }, 'missing or damaged in the backup: not restored')
  }

  #reportLine(line: number): void {
    this.#damaged += 1
    const { list } = this.#folder.list
    if (line === 0) this.#options.log.error({ list }, 'the list of the backup has lost its end')
    else
      this.#options.log.error({ list, line }, 'a line of the backup is damaged: its record is not restored')
  }
}
