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
    if (nlink > 0) return { file: file.share(), size }
    this.forget(path)
    return undefined
  }
}
