/** A blob on its way into the store: a growing file with a note of how much of it survives an unclean stop. */
import { readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Digest } from '../oci/digest.ts'
import { ensureFolder, syncFolder, writeWhole } from './durable.ts'
import type { SharedFile } from './file.ts'
import type { Layout } from './layout.ts'

/** What is known of the whole from upstream's headers; kept so that a later process can go on. */
export interface PartialNote {
  /** Bytes of the whole blob. */
  readonly total?: number
  readonly etag?: string
}

/** After so many bytes the file is synced on the way, so that a crash costs no more than this. */
const syncEvery = 64 * 1024 * 1024

export interface BegunPartial {
  digest: Digest
  path: string
  file: SharedFile
  note: PartialNote
  /** Bytes already there. */
  written: number
  /** Told once, when no flight writes the file any more. */
  closed: () => void
}

/** Ends with exactly one of `commit`, `keep` and `discard`; readers may hold on to `file` beyond that. */
export class Partial {
  readonly digest: Digest
  readonly file: SharedFile
  readonly #path: string
  readonly #layout: Layout
  #note: PartialNote
  #written: number
  #synced: number
  #syncing: Promise<void> = Promise.resolve()
  readonly #closed: () => void

  constructor(layout: Layout, begun: BegunPartial) {
    this.digest = begun.digest
    this.file = begun.file
    this.#layout = layout
    this.#path = begun.path
    this.#note = begun.note
    this.#written = begun.written
    this.#synced = begun.written
    this.#closed = begun.closed
  }

  /** Bytes that are in the file, from its start. */
  get written(): number {
    return this.#written
  }

  get note(): PartialNote {
    return this.#note
  }

  set note(note: PartialNote) {
    this.#note = note
  }

  /** Appends. Syncs now and then, without being waited for. Rejects with the system's error. */
  async append(chunks: readonly Buffer[]): Promise<void> {
    await this.file.write(chunks, this.#written)
    for (const chunk of chunks) this.#written += chunk.length
    if (this.#written - this.#synced >= syncEvery) this.#syncBehind()
  }

  /** Everything written is on disk under the digest's name when this resolves. The caller has verified it. */
  commit(): Promise<void> {
    return this.#end(async () => {
      await this.file.sync()
      const target = this.#layout.cached(this.digest)
      await ensureFolder(dirname(target))
      await rename(this.#path, target)
      await syncFolder(dirname(target))
      await rm(notePath(this.#path), { force: true })
    })
  }

  /** Leaves the bytes for a later flight to go on from. */
  keep(): Promise<void> {
    return this.#end(() => this.#sync())
  }

  discard(): Promise<void> {
    return this.#end(() => removePartial(this.#path))
  }

  async #end(task: () => Promise<void>): Promise<void> {
    try {
      await this.#syncing
      await task()
    } finally {
      this.file.release()
      this.#closed()
    }
  }

  #syncBehind(): void {
    this.#synced = this.#written
    // A failed sync only means that a crash costs more; commit and keep sync again and report.
    this.#syncing = this.#syncing.then(() => this.#sync()).catch(() => {})
  }

  async #sync(): Promise<void> {
    const offset = this.#written
    await this.file.sync()
    await writeNote(this.#path, { offset, ...this.#note }, this.#layout)
    this.#synced = offset
  }
}

export interface StoredNote extends PartialNote {
  /** Bytes known to be on disk. */
  readonly offset: number
}

function notePath(path: string): string {
  return `${path}.note`
}

function writeNote(path: string, note: StoredNote, layout: Layout): Promise<void> {
  return writeWhole(notePath(path), JSON.stringify(note), { scratch: layout.trash, durable: false })
}

/** The note beside a partial; undefined when there is none, or none that can be believed. */
export async function readNote(path: string): Promise<StoredNote | undefined> {
  try {
    const note = JSON.parse(await readFile(notePath(path), 'utf8')) as { offset?: unknown }
    return Number.isSafeInteger(note.offset) ? (note as StoredNote) : undefined
  } catch {
    return undefined // absent or torn: nothing of the file is known to be on disk
  }
}

/** Moves a partial with its note to the name of another flight. */
export async function renamePartial(from: string, to: string): Promise<void> {
  await rename(from, to)
  await rename(notePath(from), notePath(to))
}

export async function removePartial(path: string): Promise<void> {
  await rm(path, { force: true })
  await rm(notePath(path), { force: true })
}
