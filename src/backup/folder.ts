/**
 * The folder of a backup:
 *
 *     backup.json                {"v":1,"store":…}: the format, and the store that it is of
 *     lock                       held by the one command that uses it
 *     records.jsonl              every record of the last complete run, each line with its checksum
 *     records.jsonl.new          that of a run under way
 *     pushed/<alg>/ab/<hex>      bytes, as in the store
 *     trash/                     bytes on their way
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join, relative, resolve, sep } from 'node:path'
import { WholeFiles } from '../store/files/durable.ts'
import { syncFolder } from '../store/files/folders.ts'
import { takeLock } from '../store/files/owner.ts'
import { ifThere, isCode } from '../store/files/system-error.ts'
import { Layout } from '../store/layout.ts'
import { makeRoot } from '../store/open.ts'
import { isSqlite, sqlite } from '../store/sqlite-error.ts'
import { BackupFailed } from './failure.ts'
import type { ListPaths } from './list.ts'

const formatVersion = 1

/** What may lie in a folder that is to become a backup: leavings of a first run, and what a new disk has. */
const harmless = new Set(['lock', 'lock-journal', 'trash', 'lost+found'])

export class BackupFolder {
  readonly layout: Layout
  readonly files: WholeFiles
  readonly #unlock: () => void

  private constructor(layout: Layout, unlock: () => void) {
    this.layout = layout
    this.files = new WholeFiles(layout)
    this.#unlock = unlock
  }

  /**
   * To back a store up into; made where it is not there.
   *
   * @throws BackupFailed, StoreUnusable
   */
  static async openFor(store: Layout, id: string, path: string): Promise<BackupFolder> {
    assertApart(store.root, path)
    await makeRoot(path)
    const layout = new Layout(resolve(path))
    if (!(await readNote(layout))) await assertEmpty(layout)
    const unlock = takeLock(layout.lock, `the backup ${path}`)
    const folder = new BackupFolder(layout, unlock)
    try {
      await mkdir(layout.trash, { recursive: true })
      for (const name of await readdir(layout.trash))
        await rm(join(layout.trash, name), { recursive: true, force: true })
      const before = await readNote(layout)
      if (before) assertOf(before, id, path)
      else await folder.#writeNote(id)
      return folder
    } catch (error) {
      folder.close()
      throw error
    }
  }

  /**
   * To restore from; it may be on a disk that cannot be written.
   *
   * @throws BackupFailed, StoreUnusable
   */
  static async openToRead(path: string): Promise<{ folder: BackupFolder; id: string }> {
    const layout = new Layout(resolve(path))
    const note = await readNote(layout)
    if (!note) throw new BackupFailed(`there is no backup in ${path}`)
    return { folder: new BackupFolder(layout, lockIfWritable(layout, path)), id: note.store }
  }

  get list(): ListPaths {
    const { root } = this.layout
    return { folder: root, list: join(root, 'records.jsonl'), next: join(root, 'records.jsonl.new') }
  }

  close(): void {
    this.files.folders.close()
    this.#unlock()
  }

  async #writeNote(id: string): Promise<void> {
    const note = `${JSON.stringify({ v: formatVersion, store: id })}\n`
    await this.files.write(notePath(this.layout), note, { durable: true })
    await syncFolder(this.layout.root)
  }
}

interface Note {
  /** The id of the store. */
  readonly store: string
}

function notePath({ root }: Layout): string {
  return join(root, 'backup.json')
}

async function readNote(layout: Layout): Promise<Note | undefined> {
  const text = await ifThere(readFile(notePath(layout), 'utf8'))
  if (text === undefined) return undefined
  const { v, store } = parse(text)
  if (v === formatVersion && typeof store === 'string') return { store }
  if (typeof v === 'number' && v > formatVersion) {
    throw new BackupFailed(
      `the backup ${layout.root} has format ${v}, this program knows ${formatVersion}: use the program that wrote it`,
    )
  }
  throw new BackupFailed(`${notePath(layout)} is damaged`)
}

function parse(text: string): { v?: unknown; store?: unknown } {
  try {
    return (JSON.parse(text) as { v?: unknown; store?: unknown } | null) ?? {}
  } catch {
    return {} // the caller says what that means
  }
}

/** A run removes what its store does not need: in another store's backup that would be all of it. */
function assertOf({ store }: Note, id: string, path: string): void {
  if (store === id) return
  throw new BackupFailed(
    `${path} is the backup of another store, or this one was not restored from it to the end: restore it first, or choose another folder`,
  )
}

function assertApart(store: string, path: string): void {
  for (const [one, other] of [
    [store, path],
    [path, store],
  ] as const) {
    const way = relative(resolve(one), resolve(other))
    if (way === '' || !(way === '..' || way.startsWith(`..${sep}`)))
      throw new BackupFailed(`the backup ${path} and the store ${store} have to lie apart`)
  }
}

async function assertEmpty(layout: Layout): Promise<void> {
  const foreign = (await readdir(layout.root)).find(name => !harmless.has(name))
  if (foreign !== undefined)
    throw new BackupFailed(`${layout.root} is no backup and not empty: it holds ${foreign}`)
}

/** Who cannot write to the folder cannot lock it either. */
function lockIfWritable(layout: Layout, path: string): () => void {
  try {
    return takeLock(layout.lock, `the backup ${path}`)
  } catch (error) {
    if (isSqlite(error, sqlite.readOnly, sqlite.cannotOpen) || isCode(error, 'EROFS', 'EACCES'))
      return () => {}
    throw error
  }
}
