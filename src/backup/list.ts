/** The list of a backup's records: written aside and renamed, so that there is always a whole one. */
import { createReadStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { SharedFile } from '../store/files/file.ts'
import { syncFolder } from '../store/files/folders.ts'
import { asEntry, type Entry, fromLine, toLine } from './entry.ts'

const flushBytes = 1024 * 1024

export interface ListPaths {
  readonly folder: string
  readonly list: string
  /** While it is written. */
  readonly next: string
}

export class ListWriter {
  readonly #paths: ListPaths
  readonly #file: SharedFile
  #waiting: string[] = []
  #waitingLength = 0
  #offset = 0
  #count = 0
  #flushed: Promise<void> = Promise.resolve()

  private constructor(paths: ListPaths, file: SharedFile) {
    this.#paths = paths
    this.#file = file
  }

  static async open(paths: ListPaths): Promise<ListWriter> {
    await rm(paths.next, { force: true }) // of a run that was cut off
    return new ListWriter(paths, await SharedFile.open(paths.next, 'wx+'))
  }

  /** Records so far. */
  get count(): number {
    return this.#count
  }

  async add(entry: Entry): Promise<void> {
    this.#count += 1
    await this.#write(toLine(entry))
  }

  /** The list is this one, durably, when it resolves; until then it is the one before. */
  async commit(): Promise<void> {
    await this.#write(toLine({ end: this.#count }))
    await this.#flush()
    await this.#file.sync()
    this.#file.release()
    await rename(this.#paths.next, this.#paths.list)
    await syncFolder(this.#paths.folder)
  }

  async abandon(): Promise<void> {
    this.#file.release()
    await rm(this.#paths.next, { force: true }).catch(() => {}) // what failed is told of
  }

  async #write(line: string): Promise<void> {
    this.#waiting.push(line)
    this.#waitingLength += line.length
    if (this.#waitingLength >= flushBytes) await this.#flush()
  }

  #flush(): Promise<void> {
    const chunk = Buffer.from(this.#waiting.join(''))
    this.#waiting = []
    this.#waitingLength = 0
    const offset = this.#offset
    this.#offset += chunk.length
    this.#flushed = this.#flushed.then(() => this.#file.write([chunk], offset))
    return this.#flushed
  }
}

/** A line that is not as it was written; 0: the end is missing. */
export interface BadLine {
  readonly line: number
}

/** Rejects with the system's error where there is no list, or it cannot be read. */
export async function* readList(path: string): AsyncGenerator<Entry | BadLine> {
  let line = 0
  let ended = false
  for await (const text of linesOf(path)) {
    line += 1
    const value = fromLine(text)
    ended = value?.end !== undefined
    if (ended) continue
    yield (value && asEntry(value)) ?? { line }
  }
  if (!ended) yield { line: 0 }
}

/** Not as `readline` does it, to which further characters end a line, some of which are in annotations. */
async function* linesOf(path: string): AsyncGenerator<string> {
  let begun: Buffer[] = []
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    let from = 0
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      yield Buffer.concat([...begun, chunk.subarray(from, at)]).toString('utf8')
      begun = []
      from = at + 1
    }
    if (from < chunk.length) begun.push(chunk.subarray(from))
  }
  if (begun.length > 0) yield Buffer.concat(begun).toString('utf8')
}
