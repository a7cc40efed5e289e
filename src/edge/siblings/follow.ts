/** Bytes of a file that another process fills: read here, as far as it says (lead.ts). */
import type { Readable } from 'node:stream'
import type { SharedFile } from '../../store/files/file.ts'
import type { Bytes } from '../../stream/bytes.ts'
import { Signal } from '../../stream/signal.ts'
import { unavailable } from './sibling.ts'

/** So many bytes that the file does not have may wait for the reader. */
const maxWaitingBytes = 256 * 1024
const lineFeed = 10

/** Positions beyond what the file has may only be read forwards, as a response does. */
export class Follow implements Bytes {
  readonly #file: SharedFile
  readonly #reply: Readable
  readonly #changed = new Signal()
  readonly #taken = new Signal()
  /** The file may be read up to here. */
  #mark: number
  /** What comes after the mark, from this position on. */
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #waitingFrom: number
  /** The start of a line whose end has not come. */
  #line = ''
  /** Bytes that are still to come of what the file does not have. */
  #missing = 0
  #reason: string | undefined
  #end: { readonly error: unknown } | undefined
  #isClosed = false

  /** @param first where the marks begin */
  constructor(file: SharedFile, reply: Readable, first: number) {
    this.#file = file
    this.#reply = reply
    this.#mark = first
    this.#waitingFrom = first
    void this.#listen()
  }

  async read(target: Buffer, position: number): Promise<readonly Buffer[]> {
    this.#forget(position)
    while (position >= this.#mark && this.#waitingBytes === 0) {
      if (this.#isClosed) throw new Error('the reader has left')
      if (this.#end?.error !== undefined) throw this.#end.error
      if (this.#end) return []
      await this.#changed.next()
      this.#forget(position)
    }
    if (position < this.#mark) return this.#fromFile(target.subarray(0, this.#mark - position), position)
    const from = position - this.#waitingFrom
    return this.#waiting.slice(0, 1).map(chunk => chunk.subarray(from, from + target.length))
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#reply.destroy()
    this.#file.release()
    this.#changed.fire()
    this.#taken.fire()
  }

  async #fromFile(target: Buffer, position: number): Promise<readonly Buffer[]> {
    const chunks = await this.#file.readFrom(position, target)
    if (chunks.length > 0) return chunks
    throw new Error(`a file ends at ${position}, though it was said to have more`)
  }

  /** Never rejects. */
  async #listen(): Promise<void> {
    try {
      for await (const chunk of this.#reply) {
        this.#take(chunk as Buffer)
        this.#changed.fire()
        while (this.#waitingBytes > maxWaitingBytes && !this.#isClosed) await this.#taken.next()
      }
      this.#end = { error: undefined }
    } catch (error) {
      const cause = this.#reason === undefined ? error : new Error(this.#reason)
      this.#end = { error: unavailable('the answer broke off on its way here', cause) }
    }
    this.#changed.fire()
  }

  #take(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.#missing > 0) {
        const part = chunk.subarray(at, at + this.#missing)
        at += part.length
        this.#missing -= part.length
        this.#waiting.push(part)
        this.#waitingBytes += part.length
        continue
      }
      const end = chunk.indexOf(lineFeed, at)
      this.#line += chunk.toString('utf8', at, end < 0 ? chunk.length : end)
      if (end < 0) return
      at = end + 1
      this.#obey(this.#line)
      this.#line = ''
    }
  }

  #obey(line: string): void {
    if (line.startsWith('!')) this.#reason = line.slice(1)
    else if (line.startsWith('+')) this.#missing = Number(line.slice(1))
    else {
      this.#mark = Number(line)
      this.#waitingFrom = this.#mark
    }
  }

  /** What lies in front of the position will not be read again. */
  #forget(position: number): void {
    for (let [head] = this.#waiting; head; [head] = this.#waiting) {
      if (position < this.#waitingFrom + head.length) return
      this.#waiting.shift()
      this.#waitingFrom += head.length
      this.#waitingBytes -= head.length
      this.#taken.fire()
    }
  }
}
