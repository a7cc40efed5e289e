/** Unfinished files that no flight goes on with: the first to go when room is needed. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ifThere } from '../files/system-error.ts'
import type { LeftOvers } from './evictor.ts'

export class LeftFiles implements LeftOvers {
  readonly #remove: (path: string) => Promise<void>
  /** Bytes by path, the oldest first. */
  readonly #files = new Map<string, number>()
  #bytes = 0

  constructor(remove: (path: string) => Promise<void>) {
    this.#remove = remove
  }

  get bytes(): number {
    return this.#bytes
  }

  add(path: string, bytes: number): void {
    this.delete(path)
    this.#files.set(path, bytes)
    this.#bytes += bytes
  }

  /** Somebody goes on with it, or it is gone. */
  delete(path: string): void {
    this.#bytes -= this.#files.get(path) ?? 0
    this.#files.delete(path)
  }

  /** What cannot be deleted stays, and is counted on. */
  async reclaim(bytes: number): Promise<number> {
    let gone = 0
    for (const [path, size] of this.#files) {
      if (gone >= bytes) break
      if (!(await this.#isRemoved(path))) continue
      this.delete(path)
      gone += size
    }
    return gone
  }

  /** Takes in what an earlier process left in the folder. */
  async find(folder: string, isOurs: (path: string) => boolean): Promise<void> {
    const found = []
    for (const name of await readdir(folder)) {
      const path = join(folder, name)
      const file = name.endsWith('.note') ? undefined : await ifThere(stat(path))
      if (file?.isFile()) found.push({ path, bytes: file.size, at: file.mtimeMs })
    }
    for (const { path, bytes } of found.sort((a, b) => a.at - b.at))
      if (isOurs(path) && (await ifThere(stat(path)))) this.add(path, bytes)
  }

  async #isRemoved(path: string): Promise<boolean> {
    try {
      await this.#remove(path)
      return true
    } catch {
      return false // who reaps the folder tells of it
    }
  }
}
