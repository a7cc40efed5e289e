/** A blob on its way into the store: a growing file with a note of how much of it survives an unclean stop. */
import { readFile, rename, rm } from 'node:fs/promises'
import type { Digest } from '../oci/digest.ts'
import type { Cached } from './cached.ts'
import type { WholeFiles } from './durable.ts'
import type { SharedFile } from './file.ts'
import { GrowingFile } from './growing-file.ts'

/** What is known of the whole from upstream's headers; kept so that a later process can go on. */
export interface PartialNote {
  /** Bytes of the whole blob. */
  readonly total?: number
  readonly etag?: string
}

export interface PartialDeps {
  readonly files: WholeFiles
  readonly cached: Cached
}

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
  readonly #growing: GrowingFile
  readonly #path: string
  readonly #deps: PartialDeps
  readonly #closed: () => void
  #note: PartialNote
  #noting: Promise<void> = Promise.resolve()

  constructor(deps: PartialDeps, { digest, path, file, note, written, closed }: BegunPartial) {
    this.digest = digest
    this.file = file
    this.#deps = deps
    this.#path = path
    this.#note = note
    this.#closed = closed
    this.#growing = new GrowingFile(file, {
      written,
      synced: written,
      onSynced: offset => this.#noteBehind(offset),
    })
  }

  /** Bytes that are in the file, from its start. */
  get written(): number {
    return this.#growing.written
  }

  get note(): PartialNote {
    return this.#note
  }

  set note(note: PartialNote) {
    this.#note = note
  }

  /** Appends. Syncs now and then, without being waited for. Rejects with the system's error. */
  append(chunks: readonly Buffer[]): Promise<void> {
    return this.#growing.append(chunks)
  }

  /** Everything written is on disk under the digest's name when this resolves. The caller has verified it. */
  commit(): Promise<void> {
    return this.#end(async () => {
      await this.#growing.sync()
      await this.#deps.cached.adopt(this.digest, this.#path, this.written)
      await this.#noting
      await rm(notePath(this.#path), { force: true })
    })
  }

  /** Leaves the bytes for a later flight to go on from. */
  keep(): Promise<void> {
    return this.#end(async () => {
      await this.#growing.sync()
      await this.#noting
      await this.#writeNote(this.written)
    })
  }

  discard(): Promise<void> {
    return this.#end(async () => {
      await this.#growing.settled()
      await this.#noting
      await removePartial(this.#path)
    })
  }

  async #end(task: () => Promise<void>): Promise<void> {
    try {
      await task()
    } finally {
      this.file.release()
      this.#closed()
    }
  }

  /** A note that could not be written only means that a crash costs more. */
  #noteBehind(offset: number): void {
    this.#noting = this.#noting.then(() => this.#writeNote(offset)).catch(() => {})
  }

  #writeNote(offset: number): Promise<void> {
    const note: StoredNote = { offset, ...this.#note }
    return this.#deps.files.write(notePath(this.#path), JSON.stringify(note), { durable: false })
  }
}

export interface StoredNote extends PartialNote {
  /** Bytes known to be on disk. */
  readonly offset: number
}

function notePath(path: string): string {
  return `${path}.note`
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
