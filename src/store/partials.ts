/** The folder of partials: a new one for each flight, or one that an earlier flight left behind. */
import { randomBytes } from 'node:crypto'
import type { Stats } from 'node:fs'
import { readdir, rm, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, dashed } from '../oci/digest.ts'
import { withDescriptor } from '../runtime/descriptors.ts'
import type { LeftFiles } from './eviction/left-files.ts'
import { SharedFile } from './files/file.ts'
import { isCode } from './files/system-error.ts'
import type { Layout } from './layout.ts'
import {
  NoRoom,
  Partial,
  type PartialDeps,
  readNote,
  removePartial,
  renamePartial,
  type StoredNote,
} from './partial.ts'

/** A small file is written and renamed at once; one that is still there after so long is nobody's. */
const scratchLifeMs = 3_600_000

/** Whose the bytes are to be, and how many. */
export interface Beginning {
  /** The registry that they are fetched from. */
  readonly owner: string
  /** Undefined where nobody has said yet. */
  readonly expectedSize: number | undefined
}

export interface PartialsDeps extends PartialDeps {
  /** Told of what no flight goes on with. */
  readonly left: LeftFiles
}

export class Partials {
  readonly #layout: Layout
  readonly #deps: PartialsDeps
  /** Paths that a flight of this process is writing. */
  readonly #open = new Set<string>()

  constructor(layout: Layout, deps: PartialsDeps) {
    this.#layout = layout
    this.#deps = deps
  }

  /**
   * A file to fill for this digest, beginning with the bytes that an earlier flight synced.
   * Those bytes were hashed once but not proven: the new flight hashes them again.
   *
   * @throws NoRoom, or the system's error
   */
  async begin(digest: Digest, { owner, expectedSize }: Beginning): Promise<Partial> {
    const { left, capacity } = this.#deps
    const path = this.#layout.partial(digest, randomBytes(6).toString('hex'))
    this.#open.add(path)
    const closed = (leftBytes = 0) => {
      this.#open.delete(path)
      if (leftBytes > 0) left.add(path, leftBytes)
    }
    const adopted = await this.#adopt(digest, path).catch(error => {
      closed()
      throw error
    })
    const { offset = 0, ...note } = adopted?.note ?? {}
    // In one turn, so that its bytes are counted at each moment, and once.
    const reservation = capacity?.hold(owner, offset)
    if (adopted) left.delete(adopted.path)
    try {
      const bytes = Math.max(offset, expectedSize ?? 0)
      if (reservation && !(await reservation.cover(bytes)))
        throw new NoRoom(`no room for a blob of ${bytes} bytes`)
      const file = await SharedFile.open(path, adopted ? 'r+' : 'wx+')
      return new Partial(this.#deps, { digest, path, file, note, written: offset, reservation, closed })
    } catch (error) {
      closed(offset)
      reservation?.release()
      throw error
    }
  }

  /**
   * Deletes what no flight has touched for so long, and what a killed process was just writing or deleting. Resolves
   * with how many were deleted.
   */
  async reap(olderThanMs: number, now: number): Promise<number> {
    const partials = await oldIn(this.#layout.partials, now - olderThanMs)
    const trash = await oldIn(this.#layout.trash, now - Math.max(olderThanMs, scratchLifeMs))
    const doomed = [
      ...partials.filter(({ path, isFile }) => isFile && !this.#open.has(path.replace(/\.note$/, ''))),
      ...trash,
    ]
    for (const { path } of doomed) {
      await rm(path, { force: true, recursive: true })
      this.#deps.left.delete(path)
    }
    return doomed.length
  }

  /** Takes in what an earlier process left behind. */
  findLeft(): Promise<void> {
    return this.#deps.left.find(this.#layout.partials, path => !this.#open.has(path))
  }

  /** What an earlier flight left behind, under another name now. */
  async #adopt(digest: Digest, path: string) {
    const left = await this.#leftBehind(digest)
    if (!left) return undefined
    try {
      await truncate(left.path, left.note.offset)
      await renamePartial(left.path, path)
      return left
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error
      await removePartial(path) // reaped between listing and renaming, perhaps one half of it
      this.#deps.left.delete(left.path)
      return undefined
    }
  }

  /** The one with the most bytes on disk; the others are deleted. */
  async #leftBehind(digest: Digest) {
    const paths = (await withDescriptor(() => readdir(this.#layout.partials)))
      .filter(name => name.startsWith(`${dashed(digest)}.`) && !name.endsWith('.note'))
      .map(name => join(this.#layout.partials, name))
      .filter(path => !this.#open.has(path))
    const left = await Promise.all(paths.map(async path => ({ path, note: await believedNote(path) })))
    const [best, ...rest] = left.sort((a, b) => (b.note?.offset ?? 0) - (a.note?.offset ?? 0))
    await Promise.all(rest.map(({ path }) => this.#remove(path)))
    if (!best) return undefined
    if (best.note !== undefined && best.note.offset > 0) return { path: best.path, note: best.note }
    await this.#remove(best.path)
    return undefined
  }

  async #remove(path: string): Promise<void> {
    await removePartial(path)
    this.#deps.left.delete(path)
  }
}

/** The note, unless it promises more than the file has. */
async function believedNote(path: string): Promise<StoredNote | undefined> {
  const note = await readNote(path)
  const file = note && (await statIfThere(path))
  return file && note.offset <= file.size ? note : undefined
}

/** Undefined for a file that a flight has just committed or discarded. */
async function statIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined
    throw error
  }
}

async function oldIn(folder: string, beforeMs: number): Promise<{ path: string; isFile: boolean }[]> {
  const old = []
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    const found = await statIfThere(path)
    if (found && found.mtimeMs <= beforeMs) old.push({ path, isFile: found.isFile() })
  }
  return old
}
