/** Folders of the store, and what it takes for a name in one of them to survive a power cut. */
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { latest } from '../../runtime/latest.ts'
import { SharedFile } from './file.ts'
import { KeptFiles } from './kept-files.ts'
import { ifThere, isCode } from './system-error.ts'

/** To have forgotten a folder costs a sync of its parent. */
const maxSettled = 10_000
/** There are 256 for the blobs of an algorithm, and one for the records of each kind in a repository. */
const maxOpened = 300
/** Somebody may remove the empty folders again before anything is in them. */
const tries = 2

export class Folders {
  readonly #root: string
  readonly #syncNow: (folder: string) => Promise<void>
  /** Those whose own names are on disk. */
  readonly #settled = latest<string, true>(maxSettled)
  readonly #begun = new Map<string, Promise<void>>()
  readonly #queued = new Map<string, Promise<void>>()

  /** Those synced lately, kept open: to open one takes half as long as to sync it. */
  readonly #opened = new KeptFiles(maxOpened)

  /** @param root is there, and stays */
  constructor(root: string, syncNow?: (folder: string) => Promise<void>) {
    this.#root = root
    this.#syncNow = syncNow ?? (folder => this.#syncOpened(folder))
    this.#settled.set(root, true)
  }

  close(): void {
    this.#opened.close()
  }

  /** Runs a task that puts something into the folder, which is made when it is missing. */
  async into<T>(folder: string, task: () => Promise<T>): Promise<T> {
    for (let left = tries; left > 0; left -= 1) {
      try {
        return await task()
      } catch (error) {
        if (!isCode(error, 'ENOENT')) throw error
      }
      for (let path = folder; this.#below(path); path = dirname(path)) this.#forget(path)
      await ifThere(this.#make(folder))
    }
    return task()
  }

  /** Step by step: asked to make parents too, Node tells ENOENT where the disk may not be written. */
  async #make(folder: string): Promise<void> {
    if (!this.#below(folder)) return
    await this.#make(dirname(folder))
    try {
      await mkdir(folder)
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error
    }
  }

  /** What was put into the folder or taken from it survives a power cut when this resolves, and so does the folder. */
  async sync(folder: string): Promise<void> {
    await this.#syncJoined(folder)
    if (this.#settled.has(folder) || !this.#below(folder)) return
    await this.sync(dirname(folder))
    this.#settled.set(folder, true)
  }

  /** It may have been another folder of that name. */
  #forget(folder: string): void {
    this.#settled.delete(folder)
    this.#opened.forget(folder)
  }

  async #syncOpened(path: string): Promise<void> {
    const folder = this.#opened.get(path) ?? (await SharedFile.open(path, 'r'))
    this.#opened.keep(path, folder)
    await folder.syncAll()
  }

  #below(path: string): boolean {
    return path.length > this.#root.length
  }

  /** Rides with a sync that has not begun; one that has may have missed what the caller did. */
  #syncJoined(folder: string): Promise<void> {
    const queued = this.#queued.get(folder)
    if (queued) return queued
    const begun = this.#begun.get(folder)
    if (!begun) return this.#begin(folder)
    const next = begun
      .catch(() => {}) // its own callers hear of it
      .then(() => {
        this.#queued.delete(folder)
        return this.#begin(folder)
      })
    this.#queued.set(folder, next)
    return next
  }

  #begin(folder: string): Promise<void> {
    const sync = this.#syncNow(folder).finally(() => {
      if (this.#begun.get(folder) === sync) this.#begun.delete(folder)
    })
    this.#begun.set(folder, sync)
    return sync
  }
}

/** What was created, renamed or removed in the folder survives a power cut when this resolves. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await SharedFile.open(path, 'r')
  try {
    await folder.syncAll()
  } finally {
    folder.release()
  }
}
