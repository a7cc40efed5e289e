/** Files that were read lately, kept open: a bounded number, and none that is no longer in its folder. */
import { fstatSync } from 'node:fs'
import { SharedFile } from './file.ts'
import { KeptFiles } from './kept-files.ts'
import { ifThere } from './system-error.ts'

export interface OpenFile {
  /** To be released by who opened it. */
  readonly file: SharedFile
  /** Bytes. */
  readonly size: number
}

const maxOpen = 256

export class OpenFiles {
  readonly #files = new KeptFiles(maxOpen)
  /** How many read each. */
  readonly #readers = new Map<string, number>()

  /** Undefined when there is none; rejects with the system's error. */
  async open(path: string): Promise<OpenFile | undefined> {
    const known = this.#files.get(path)
    const found = known && this.#look(path, known)
    if (found) return found
    const file = await ifThere(SharedFile.open(path, 'r'))
    if (!file) return undefined
    this.#files.keep(path, file)
    return this.#look(path, file)
  }

  isRead(path: string): boolean {
    return this.#readers.has(path)
  }

  /** Closes it, once nobody reads it any more. */
  forget(path: string): void {
    this.#files.forget(path)
  }

  close(): void {
    this.#files.close()
  }

  /** What is known of an open file is in memory: nobody waits for a disk. Undefined when it was deleted or replaced. */
  #look(path: string, file: SharedFile): OpenFile | undefined {
    const { nlink, size } = fstatSync(file.fd)
    if (nlink > 0) return { file: this.#lend(path, file), size }
    this.forget(path)
    return undefined
  }

  #lend(path: string, file: SharedFile): SharedFile {
    this.#readers.set(path, (this.#readers.get(path) ?? 0) + 1)
    return file.share(() => {
      const left = (this.#readers.get(path) ?? 0) - 1
      if (left > 0) this.#readers.set(path, left)
      else this.#readers.delete(path)
    })
  }
}
