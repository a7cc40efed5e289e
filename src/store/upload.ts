/** Bytes being pushed: a folder for each upload session, with a note of whose it is. It outlives the process. */
import { mkdir, opendir, readFile, rm, rmdir, stat, unlink, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import type { Algorithm, Digest } from '../oci/digest.ts'
import { isRepositoryName, type RepositoryName } from '../oci/name.ts'
import { withDescriptor } from '../runtime/descriptors.ts'
import { openOrMake, SharedFile } from './files/file.ts'
import { GrowingFile, syncEveryBytes } from './files/growing-file.ts'
import { ifThere, isCode } from './files/system-error.ts'
import type { Layout } from './layout.ts'
import type { PushedBytes } from './pushed.ts'

export interface UploadNote {
  readonly v: 1
  readonly registry: string
  readonly repository: RepositoryName
  readonly startedAt: number
  readonly algorithm: Algorithm
}

export interface StoredUpload {
  readonly id: string
  readonly note: UploadNote
  /** Bytes. */
  readonly size: number
  /** When it was last written to. */
  readonly touchedAt: number
}

export interface UploadDeps {
  readonly layout: Layout
  readonly pushed: Pick<PushedBytes, 'adopt'>
}

export interface Reaping {
  /** Whether it was left alone for too long. */
  readonly isIdle: (touchedAt: number) => boolean
  readonly inUse: (id: string) => boolean
}

/** Clocks of file systems may be a little ahead of ours. */
const aheadMs = 60_000

/** What nobody guesses, and what no folder that somebody put there is called. */
const idGrammar = /^[\w-]{16,64}$/

export class UploadFiles {
  readonly #deps: UploadDeps

  constructor(deps: UploadDeps) {
    this.#deps = deps
  }

  /**
   * Survives the process from the moment it resolves, but no power cut.
   *
   * @param fill brings bytes; there is no session before it resolves, and none when it rejects
   */
  async create(id: string, note: UploadNote, fill?: (file: UploadFile) => Promise<void>): Promise<void> {
    assertId(id)
    const folder = this.#deps.layout.upload(id)
    await mkdir(folder)
    try {
      if (fill) await this.#fill(id, fill)
      const file = await SharedFile.open(notePath(folder), 'wx+')
      try {
        await file.write([Buffer.from(JSON.stringify(note))], 0)
      } finally {
        file.release()
      }
    } catch (error) {
      await rm(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** Undefined when there is none; a damaged or foreign folder is none. */
  async find(id: string): Promise<StoredUpload | undefined> {
    if (!isUploadId(id)) return undefined
    const folder = this.#deps.layout.upload(id)
    try {
      const note = parseNote(await withDescriptor(() => readFile(notePath(folder), 'utf8')))
      return note && { id, note, ...(await measured(folder)) }
    } catch (error) {
      if (isCode(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw error
    }
  }

  async *list(): AsyncIterable<StoredUpload> {
    for (const id of await this.#ids()) {
      const found = await this.find(id)
      if (found) yield found
    }
  }

  /** To be closed by who opened it. Rejects with ENOENT when the session is gone. */
  async open(id: string): Promise<UploadFile> {
    assertId(id)
    const path = dataPath(this.#deps.layout.upload(id))
    const file = await SharedFile.open(path, openOrMake)
    try {
      return new UploadFile({ path, file, written: await file.size(), pushed: this.#deps.pushed })
    } catch (error) {
      file.release()
      throw error
    }
  }

  async #fill(id: string, fill: (file: UploadFile) => Promise<void>): Promise<void> {
    const file = await this.open(id)
    try {
      await fill(file)
    } finally {
      file.close()
    }
  }

  /** No reader finds it from the moment this was called; whoever has it open can still write, but commit no more. */
  async remove(id: string): Promise<void> {
    if (!isUploadId(id)) return
    const folder = this.#deps.layout.upload(id)
    await ifThere(unlink(notePath(folder))) // without it there is no session
    try {
      await ifThere(rmdir(folder))
    } catch (error) {
      if (!isCode(error, 'ENOTEMPTY', 'EEXIST')) throw error
      await rm(folder, { recursive: true, force: true })
    }
  }

  /** Removes what is idle and not in use. Resolves with how many there were. */
  async reap(now: number, { isIdle, inUse }: Reaping): Promise<number> {
    let reaped = 0
    for (const id of await this.#ids()) {
      const touchedAt = await this.#touchedAt(id)
      if (touchedAt === undefined || inUse(id)) continue
      if (touchedAt > now + aheadMs) await this.#touch(id, now)
      if (!isIdle(touchedAt)) continue
      await this.remove(id)
      reaped += 1
    }
    return reaped
  }

  /** A clock that was ahead left it with a time that is long in coming. */
  async #touch(id: string, now: number): Promise<void> {
    const folder = this.#deps.layout.upload(id)
    const time = new Date(now)
    await ifThere(utimes(folder, time, time))
    await ifThere(utimes(dataPath(folder), time, time))
  }

  /** Also of a session whose note is damaged: nobody can go on with it. Undefined: gone. */
  async #touchedAt(id: string): Promise<number | undefined> {
    try {
      return (await measured(this.#deps.layout.upload(id))).touchedAt
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined
      throw error
    }
  }

  async #ids(): Promise<string[]> {
    const ids: string[] = []
    for await (const entry of await opendir(this.#deps.layout.uploads)) {
      if (entry.isDirectory() && isUploadId(entry.name)) ids.push(entry.name)
    }
    return ids
  }
}

interface OpenUpload {
  readonly path: string
  readonly file: SharedFile
  readonly written: number
  readonly pushed: Pick<PushedBytes, 'adopt'>
}

/** The bytes of one upload session. One call at a time. */
export class UploadFile {
  readonly file: SharedFile
  readonly #growing: GrowingFile
  readonly #path: string
  readonly #pushed: UploadDeps['pushed']
  #open = true
  #isCommitted = false

  constructor({ path, file, written, pushed }: OpenUpload) {
    this.file = file
    this.#path = path
    this.#pushed = pushed
    this.#growing = new GrowingFile(file, { written, synced: 0, maxUnsyncedBytes: 2 * syncEveryBytes })
  }

  /** Bytes that are in the file. */
  get written(): number {
    return this.#growing.written
  }

  /** It lies under a digest's name, perhaps also where the commit was rejected: nothing may be written to it any more. */
  get isCommitted(): boolean {
    return this.#isCommitted
  }

  /**
   * Rejects with the system's error, which may be that of an earlier sync: `written` is then what is left, perhaps
   * less than before, and more can be appended.
   */
  append(chunks: readonly Buffer[]): Promise<void> {
    return this.#soundly(() => this.#growing.append(chunks))
  }

  /** Cuts off what is beyond the size, if anything is. */
  async truncate(size: number): Promise<void> {
    if (size < this.written) await this.#growing.truncate(size)
  }

  /**
   * Everything written is on disk under the digest's name when this resolves. The caller has verified it. What is left
   * of the session is the caller's to remove. May be called again after a failure.
   */
  async commit(digest: Digest): Promise<void> {
    if (!this.#isCommitted) await this.#soundly(() => this.#growing.sync())
    this.#isCommitted = true
    await this.#pushed.adopt(digest, this.#path, this.written)
  }

  /** Gives the descriptor back; the session stays. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    this.file.release()
  }

  async #soundly(task: () => Promise<void>): Promise<void> {
    try {
      await task()
    } catch (error) {
      await this.#growing.cutToSound().catch(() => {}) // the next append writes over what is too much
      throw error
    }
  }
}

export function isUploadId(id: string): boolean {
  return idGrammar.test(id)
}

/** @throws an Error: it would be the name of something else */
function assertId(id: string): void {
  if (!isUploadId(id)) throw new Error(`no id of an upload session: ${id}`)
}

function notePath(folder: string): string {
  return join(folder, 'session.json')
}

function dataPath(folder: string): string {
  return join(folder, 'data')
}

/** A session without data was touched when it was made. */
async function measured(folder: string): Promise<{ size: number; touchedAt: number }> {
  try {
    const { size, mtimeMs } = await stat(dataPath(folder))
    return { size, touchedAt: Math.floor(mtimeMs) }
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error
    return { size: 0, touchedAt: Math.floor((await stat(folder)).mtimeMs) }
  }
}

/** Undefined: it is damaged, or none. */
export function parseNote(text: string): UploadNote | undefined {
  try {
    const note = JSON.parse(text) as Partial<Record<keyof UploadNote, unknown>> | null
    return note && isNote(note) ? (note as UploadNote) : undefined
  } catch {
    return undefined // torn: as if the session had never been begun
  }
}

function isNote(note: Partial<Record<keyof UploadNote, unknown>>): boolean {
  const { v, registry, repository, startedAt, algorithm } = note
  if (v !== 1 || typeof registry !== 'string' || !Number.isFinite(startedAt)) return false
  return typeof repository === 'string' && isRepositoryName(repository) && isAlgorithm(algorithm)
}

function isAlgorithm(algorithm: unknown): algorithm is Algorithm {
  return algorithm === 'sha256' || algorithm === 'sha512'
}
