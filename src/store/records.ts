/** The store's records: small JSON files that say what a repository holds. They are the truth; the index is not. */
import { createHash } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Logger } from '../observe/log.ts'
import { withDescriptor } from '../runtime/descriptors.ts'
import type { Durability, WholeFiles } from './files/durable.ts'
import { isCode } from './files/system-error.ts'

/** Every record carries its format version. */
export interface StoredRecord {
  readonly v: 1
  readonly [field: string]: unknown
}

/** Stands for the exact content that was read. */
export type Version = string

/** By the paths of the layout. What is rejected with may have happened all the same. */
export interface Records {
  /** Undefined when there is none, or one that was torn by a power cut: then it is as if it had never been written. */
  read(path: string): Promise<{ record: StoredRecord; version: Version } | undefined>
  /** Resolves with false when there is a record already; it is left alone. */
  create(path: string, record: StoredRecord, durability: Durability): Promise<boolean>
  /** Resolves with false when the record is no longer the version that was read. */
  replace(path: string, record: StoredRecord, version: Version, durability: Durability): Promise<boolean>
  /** Creates or replaces, whatever is there: for records whose newest value is always right. */
  save(path: string, record: StoredRecord, durability: Durability): Promise<void>
  remove(path: string, durability?: Durability): Promise<void>
}

/** Files on the disk, each under its path. */
export class DiskRecords implements Records {
  readonly #files: WholeFiles
  readonly #log: Logger
  /** The last write under way for a path: writes of one record follow each other. */
  readonly #writing = new Map<string, Promise<unknown>>()

  constructor(files: WholeFiles, log: Logger) {
    this.#files = files
    this.#log = log
  }

  async read(path: string): Promise<{ record: StoredRecord; version: Version } | undefined> {
    let text: string
    try {
      text = await withDescriptor(() => readFile(path, 'utf8'))
    } catch (error) {
      if (isCode(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw error
    }
    const record = parseRecord(text)
    if (record === undefined) this.#log.warn({ path }, 'record is not readable: treated as absent')
    return record && { record, version: versionOf(text) }
  }

  create(path: string, record: StoredRecord, durability: Durability): Promise<boolean> {
    return this.#afterOthers(path, () => this.#files.create(path, JSON.stringify(record), durability))
  }

  replace(path: string, record: StoredRecord, version: Version, durability: Durability): Promise<boolean> {
    return this.#afterOthers(path, async () => {
      if ((await this.read(path))?.version !== version) return false
      await this.#files.write(path, JSON.stringify(record), durability)
      return true
    })
  }

  save(path: string, record: StoredRecord, durability: Durability): Promise<void> {
    return this.#afterOthers(path, () => this.#files.write(path, JSON.stringify(record), durability))
  }

  remove(path: string, { durable }: Durability = { durable: false }): Promise<void> {
    return this.#afterOthers(path, async () => {
      await rm(path, { force: true })
      if (durable) await this.#syncFolderOf(path)
    })
  }

  async #syncFolderOf(path: string): Promise<void> {
    try {
      await this.#files.folders.sync(dirname(path))
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error // without a folder there never was a record
    }
  }

  #afterOthers<T>(path: string, task: () => Promise<T>): Promise<T> {
    const before = this.#writing.get(path) ?? Promise.resolve()
    const result = before.then(task, task)
    const settled = result
      .catch(() => {})
      .finally(() => {
        if (this.#writing.get(path) === settled) this.#writing.delete(path)
      })
    this.#writing.set(path, settled)
    return result
  }
}

export function parseRecord(text: string): StoredRecord | undefined {
  try {
    const record = JSON.parse(text) as { v?: unknown } | null
    return record?.v === 1 ? (record as StoredRecord) : undefined
  } catch {
    return undefined // the caller logs it
  }
}

function versionOf(text: string): Version {
  return createHash('sha256').update(text).digest('base64url')
}
