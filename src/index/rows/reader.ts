/** The index's file as another process reads it: it waits for nothing, and what it cannot read is unknown. */
import { type Clock, systemClock } from '../../runtime/clock.ts'
import type { IndexReads, IndexState } from '../index.ts'
import { isPassing } from './index-file.ts'
import { IndexFileReader } from './index-file-reader.ts'
import { RowIndex } from './row-index.ts'
import { type NamedValue, type Rows, RowsUnavailable } from './rows.ts'

export interface IndexReader {
  readonly index: IndexReads
  /** What the index's own process says of its file, whenever it says so. Undefined: everything is unknown. */
  use(state: IndexState | undefined): void
  close(): void
}

/** A file that could not be read is left alone for so long. */
const retryMs = 1000

/** Opens nothing before it is told of a state, and may be called before there is a file. */
export function openIndexReader(path: string, { clock = systemClock }: { clock?: Clock } = {}): IndexReader {
  const rows = new ReaderRows(path, clock)
  return { index: new RowIndex(rows), use: state => rows.use(state), close: () => rows.use(undefined) }
}

/** Entries are found that were flushed before the state was told. */
class ReaderRows implements Rows {
  readonly up = false
  readonly isShared = false
  readonly #path: string
  readonly #clock: Clock
  #state: IndexState | undefined
  #file: IndexFileReader | undefined
  #retryAt = 0

  constructor(path: string, clock: Clock) {
    this.#path = path
    this.#clock = clock
  }

  get epoch(): string {
    return this.#state?.epoch ?? ''
  }

  use(state: IndexState | undefined): void {
    if (state?.epoch !== this.#state?.epoch) {
      this.#leave()
      this.#retryAt = 0
    }
    this.#state = state
  }

  get(scope: string, name: string): string | undefined {
    return this.#read(file => file.get(scope, name))
  }

  page(scope: string, after: string, limit: number): readonly NamedValue[] {
    return this.#read(file => file.page(scope, after, Math.max(0, limit)))
  }

  atOnce<T>(task: () => T): T {
    return this.#read(file => file.atOnce(task))
  }

  put(): void {
    throw new Error('this index is only read')
  }

  drop(): void {
    this.put()
  }

  renew(): void {
    this.put()
  }

  async share(): Promise<void> {}

  async flush(): Promise<boolean> {
    return false
  }

  async close(): Promise<void> {
    this.use(undefined)
  }

  #read<T>(read: (file: IndexFileReader) => T): T {
    try {
      return read(this.#opened())
    } catch (cause) {
      if (cause instanceof RowsUnavailable) throw cause
      if (!isPassing(cause)) this.#leave()
      throw new RowsUnavailable('the index cannot be read now', { cause })
    }
  }

  #opened(): IndexFileReader {
    if (this.#file) return this.#file
    const now = this.#clock.monotonic()
    if (!this.#state || now < this.#retryAt) throw new RowsUnavailable('the index has no file to be read')
    this.#retryAt = now + retryMs
    this.#file = new IndexFileReader(this.#path)
    return this.#file
  }

  #leave(): void {
    const file = this.#file
    this.#file = undefined
    try {
      file?.close()
    } catch {
      // a damaged file may refuse even that, and is not used again
    }
  }
}
