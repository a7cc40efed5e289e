/** Taking a backup, beside the process that owns the store: nothing of the store is written, nor locked. */
import { localRepositories } from '../index/folders.ts'
import type { Counted } from '../index/reindex.ts'
import type { Logger } from '../observe/log.ts'
import { diskNames } from '../store/files/names.ts'
import { ifThere } from '../store/files/system-error.ts'
import { readFormat } from '../store/format.ts'
import { Layout } from '../store/layout.ts'
import { BackupBytes } from './bytes.ts'
import { type Entry, nameOf } from './entry.ts'
import { asFailure, BackupFailed, type Damaged } from './failure.ts'
import { BackupFolder } from './folder.ts'
import { ListWriter, readList } from './list.ts'
import { RepositoryCopy } from './repository-copy.ts'

export interface TakeOptions {
  /** The store's folder. */
  readonly root: string
  /** The backup's. */
  readonly path: string
  readonly log: Logger
  /** Reads again what the backup has already. */
  readonly verify?: boolean
}

export interface Taken extends Readonly<Counted> {
  readonly copiedFiles: number
  readonly copiedBytes: number
  /** Files that no record needs any more. */
  readonly removedFiles: number
  /** Records that are left out. */
  readonly damaged: number
}

/**
 * Until it resolves, the backup is the one before; also when it is cut off.
 *
 * @throws BackupFailed, StoreUnusable
 */
export async function takeBackup(options: TakeOptions): Promise<Taken> {
  const { root, path, log, verify = false } = options
  const store = new Layout(root)
  try {
    const format = await readFormat(store)
    if (!format) throw new BackupFailed(`there is no store at ${root}`)
    if (format.id === undefined)
      throw new BackupFailed(`the store at ${root} is of an earlier version: start this one on it once`)
    const folder = await BackupFolder.openFor(store, format.id, path)
    try {
      return await new Run(store, folder, { log, verify }).run()
    } finally {
      folder.close()
    }
  } catch (error) {
    throw asFailure(error, `the backup ${path} could not be made, an earlier one is as it was`)
  }
}

class Run {
  readonly #store: Layout
  readonly #folder: BackupFolder
  readonly #log: Logger
  readonly #bytes: BackupBytes
  readonly #damaged = new Set<string>()
  readonly #counts = { tag: 0, manifest: 0, blob: 0, referrer: 0 }
  #repositories = 0

  constructor(store: Layout, folder: BackupFolder, { log, verify }: { log: Logger; verify: boolean }) {
    this.#store = store
    this.#folder = folder
    this.#log = log
    this.#bytes = new BackupBytes({ store, folder, verify })
  }

  async run(): Promise<Taken> {
    const list = await ListWriter.open(this.#folder.list)
    try {
      await this.#copyAll(list)
      if (list.count === 0) await this.#assertNothingToLose()
      await this.#bytes.settle()
      await list.commit()
    } catch (error) {
      await list.abandon()
      throw error
    }
    // What cannot be read now may come back, or be looked for in the bytes of earlier runs.
    const removedFiles = this.#damaged.size === 0 ? await this.#bytes.prune() : 0
    const { files, bytes } = this.#bytes.copied
    const { tag: tags, manifest: manifests, blob: blobs } = this.#counts
    return {
      repositories: this.#repositories,
      tags,
      manifests,
      blobs,
      copiedFiles: files,
      copiedBytes: bytes,
      removedFiles,
      damaged: this.#damaged.size,
    }
  }

  async #copyAll(list: ListWriter): Promise<void> {
    for await (const key of localRepositories({ layout: this.#store, names: diskNames })) {
      const before = list.count
      await new RepositoryCopy(key, {
        store: this.#store,
        bytes: this.#bytes,
        add: entry => this.#add(list, entry),
        damaged: (what, damage) => this.#report(what, damage),
      }).run()
      if (list.count > before) this.#repositories += 1
    }
  }

  #add(list: ListWriter, entry: Entry): Promise<void> {
    this.#counts[entry.kind] += 1
    this.#log.debug(nameOf(entry), 'backed up')
    return list.add(entry)
  }

  #report(what: Readonly<Record<string, string>>, { message }: Damaged): void {
    const text = JSON.stringify(what)
    if (this.#damaged.has(text)) return
    this.#damaged.add(text)
    this.#log.error({ ...what, reason: message }, 'missing or damaged in the store: not in this backup')
  }

  /** A store whose disk is not there looks like one of which all was deleted. */
  async #assertNothingToLose(): Promise<void> {
    const { list, folder } = this.#folder.list
    const earlier = await ifThere(readList(list).next())
    if (!earlier || earlier.done || 'line' in earlier.value) return
    throw new BackupFailed(
      `the store at ${this.#store.root} holds nothing that was pushed, and its backup does: if that is right, remove ${folder} to begin anew`,
    )
  }
}
