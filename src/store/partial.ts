/** A blob on its way into the store: a growing file with a note of how much of it survives an unclean stop. */
import { readFile, rename, rm } from 'node:fs/promises'
import type { Digest } from '../oci/digest.ts'
import type { Cached } from './cached.ts'
import type { Capacity } from './eviction/capacity.ts'
import type { Reservation } from './eviction/reservation.ts'
import type { WholeFiles } from './files/durable.ts'
import type { SharedFile } from './files/file.ts'
import { GrowingFile } from './files/growing-file.ts'

/** What is known of the whole from upstream's headers; kept so that a later process can go on. */
export interface PartialNote {
  /** Bytes of the whole blob. */
  readonly total?: number
  readonly etag?: string
}

export interface PartialDeps {
  readonly files: WholeFiles
  readonly cached: Cached
  /** Undefined: as much as the disk takes. */
  readonly capacity: Capacity | undefined
}

/** What is cached leaves no room for the blob, and nothing of it can go. */
export class NoRoom extends Error {
  override readonly name = 'NoRoom'
}

export interface BegunPartial {
  digest: Digest
  path: string
  file: SharedFile
  note: PartialNote
  /** Bytes already there. */
  written: number
  /** Of at least the bytes already there. */
  reservation: Reservation | undefined
  /** Told once, when no flight writes the file any more, how much of it stays. */
  closed: (leftBytes: number) => void
}

/** Ends with exactly one of `commit`, `keep` and `discard`; readers may hold on to `file` beyond that. */
export class Partial {
  readonly digest: Digest
  readonly file: SharedFile
  readonly #growing: GrowingFile
  readonly #path: string
  readonly #deps: PartialDeps
  readonly #closed: (leftBytes: number) => void
  readonly #reservation: Reservation | undefined
  #note: PartialNote
  #noting: Promise<void> = Promise.resolve()

  constructor(deps: PartialDeps, begun: BegunPartial) {
    const { digest, path, file, note, written, reservation, closed } = begun
    this.digest = digest
    this.file = file
    this.#reservation = reservation
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

  /** Room for the whole of it. @throws NoRoom */
  async reserve(bytes: number): Promise<void> {
    if (!this.#reservation || (await this.#reservation.cover(bytes))) return
    throw new NoRoom(`no room for a blob of ${bytes} bytes`)
  }

  /**
   * Appends. Syncs now and then, without being waited for. Rejects with the system's error, or with NoRoom for bytes that
   * nobody announced.
   */
  append(chunks: readonly Buffer[]): Promise<void> {
    const reservation = this.#reservation
    if (!reservation) return this.#growing.append(chunks)
    const { written } = this
    reservation.written = written
    const after = chunks.reduce((sum, { length }) => sum + length, written)
    return after <= reservation.bytes ? this.#growing.append(chunks) : this.#appendMore(chunks, after)
  }

  /** Everything written is on disk under the digest's name when this resolves. The caller has verified it. */
  commit(): Promise<void> {
    return this.#end(0, async () => {
      await this.#growing.sync()
      await this.#deps.cached.adopt(this.digest, this.#path, this.written, this.#reservation)
      await this.#noting
      await rm(notePath(this.#path), { force: true })
    })
  }

  /** Leaves the bytes for a later flight to go on from. */
  keep(): Promise<void> {
    return this.#end(this.written, async () => {
      await this.#growing.sync()
      await this.#noting
      await this.#writeNote(this.written)
    })
  }

  discard(): Promise<void> {
    return this.#end(0, async () => {
      await this.#growing.settled()
      await this.#noting
      await removePartial(this.#path)
    })
  }

  /** @param leftBytes in the file, when the task has succeeded; else all of them may be */
  async #end(leftBytes: number, task: () => Promise<void>): Promise<void> {
    let left = this.written
    try {
      await task()
      left = leftBytes
    } finally {
      this.file.release()
      this.#closed(left)
      this.#reservation?.release()
    }
  }

  async #appendMore(chunks: readonly Buffer[], after: number): Promise<void> {
    if (!(await this.#reservation?.coverStep(after)))
      throw new NoRoom(`no room for more than ${this.written} bytes`)
    await this.#growing.append(chunks)
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
