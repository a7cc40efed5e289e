/** The index in an SQLite file: reads are immediate, writes go in batches, and a bad file is begun again. */
import { lstatSync, renameSync, rmSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import type { Logger } from '../../observe/log.ts'
import { Quiet } from '../../observe/quiet.ts'
import type { Clock } from '../../runtime/clock.ts'
import { IndexFile, inMemory, isBusy, isPassing } from './index-file.ts'
import { Pending } from './pending.ts'
import { RowIndex } from './row-index.ts'
import {
  defaultExpendable,
  type ExpendableLimits,
  type NamedValue,
  type Row,
  type Rows,
  RowsUnavailable,
} from './rows.ts'

export interface SqliteIndexOptions {
  readonly path: string
  readonly clock: Clock
  readonly log: Logger
  /** How long a write waits for company. */
  readonly flushMs?: number
  /** How many changes, or bytes of them, make a batch. While the file is held by another, 40 batches wait at most. */
  readonly flushRows?: number
  readonly flushBytes?: number
  /** How long a disk that gave no usable file is left alone; the index works in memory meanwhile. */
  readonly retryMs?: number
  readonly expendable?: ExpendableLimits
}

const defaults = {
  flushMs: 100,
  flushRows: 250,
  flushBytes: 2 ** 20,
  retryMs: 60_000,
  expendable: defaultExpendable,
}
const mostWaiting = 40
const busy = { tries: 50, pauseMs: 20 }

/** Never fails: without a usable file the index works in memory and says so. */
export async function openSqliteIndex(options: SqliteIndexOptions): Promise<RowIndex> {
  return new RowIndex(new SqliteRows({ ...defaults, ...options }))
}

class SqliteRows implements Rows {
  readonly #options: Required<SqliteIndexOptions>
  readonly #pending = new Pending()
  readonly #closed = new AbortController()
  #file: IndexFile
  readonly #quiet: Quiet
  /** The commit that is about to come, for all who wait for one. */
  #committing: Promise<boolean> | undefined
  #closing: Promise<void> | undefined
  #isTimed = false
  #isHeld = false
  /** When, on the monotonic clock, a failing disk may be tried next. */
  #retryAt = 0

  constructor(options: Required<SqliteIndexOptions>) {
    this.#options = options
    this.#quiet = new Quiet(options.clock)
    this.#file = this.#open()
  }

  get epoch(): string {
    return this.#file.epoch
  }

  get up(): boolean {
    return this.#file.isPersistent && !this.#closed.signal.aborted
  }

  get isShared(): boolean {
    return this.up && !this.#isHeld
  }

  get(scope: string, name: string): string | undefined {
    const waiting = this.#pending.find(scope, name)
    return waiting ? waiting.change?.value : this.#read(file => file.get(scope, name))
  }

  page(scope: string, after: string, limit: number): readonly NamedValue[] {
    const wanted = Math.max(0, limit)
    const written = this.#read(file => file.page(scope, after, wanted + this.#pending.countOf(scope)))
    return this.#pending.applyTo(scope, after, written).slice(0, wanted)
  }

  atOnce<T>(task: () => T): T {
    return task() // nobody else writes
  }

  put(scope: string, name: string, row: Row): void {
    this.#add(scope, name, row)
  }

  drop(scope: string, name: string): void {
    this.#add(scope, name, undefined)
  }

  /** Without a sync: who reads the file finds it in the system's memory. */
  async flush(): Promise<boolean> {
    const { epoch } = this
    for (let tries = 0; !(await this.#commit()) && tries < busy.tries; tries += 1) {
      await this.#options.clock.sleep(busy.pauseMs)
    }
    return this.isShared && this.epoch === epoch
  }

  renew(): void {
    this.#file.renew()
  }

  async share(): Promise<void> {
    await this.#commit()
  }

  /** All who ask in one turn have one commit. */
  #commit(): Promise<boolean> {
    this.#committing ??= setImmediate().then(() => {
      this.#committing = undefined
      return this.#write()
    })
    return this.#committing
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close() {
    await this.flush()
    const isWritten = this.#write() // what came during the flush
    this.#closed.abort()
    try {
      if (isWritten) this.#file.endLife()
      else this.#file.abandon()
    } catch (error) {
      this.#warn('index was not closed cleanly and is completed again after the next start', error)
    }
  }

  #add(scope: string, name: string, change: Row | undefined) {
    if (this.#closed.signal.aborted) return
    this.#pending.add(scope, name, change)
    if (this.#isWaiting(mostWaiting)) this.#beginAgain('more changes than may wait')
    else if (this.#isHeld || !this.#isWaiting(1)) this.#writeSoon()
    else if (!this.#write()) this.#writeSoon()
  }

  #isWaiting(batches: number): boolean {
    const { flushRows, flushBytes } = this.#options
    return this.#pending.rows >= batches * flushRows || this.#pending.bytes >= batches * flushBytes
  }

  #writeSoon() {
    if (this.#isTimed) return
    this.#isTimed = true
    const { clock, flushMs } = this.#options
    const write = () => {
      this.#isTimed = false
      if (!this.#write()) this.#writeSoon()
    }
    clock.sleep(flushMs, this.#closed.signal).then(write, () => undefined) // aborted: closed, with its own flush
  }

  #read<T>(read: (file: IndexFile) => T): T {
    if (this.#closed.signal.aborted) throw new RowsUnavailable('the index is closed')
    try {
      return read(this.#file)
    } catch (cause) {
      if (!isPassing(cause)) this.#beginAgain(cause)
      throw new RowsUnavailable('the index cannot answer now', { cause })
    }
  }

  /** Writes what waits, or says that it still waits. */
  #write(): boolean {
    this.#isHeld = false
    this.#tryDisk()
    if (this.#closed.signal.aborted || this.#pending.rows === 0) return true
    try {
      if (!this.#file.isInPlace) throw new Error('the file was deleted or replaced')
      this.#file.write(this.#pending, this.#options.expendable)
      this.#pending.clear()
    } catch (error) {
      this.#isHeld = isPassing(error) && this.#file.isPersistent
      if (this.#isHeld) this.#warn('index cannot be written now; changes wait in memory', error)
      else this.#beginAgain(error)
    }
    return !this.#isHeld
  }

  #open(): IndexFile {
    const { path } = this.#options
    if (path === inMemory) return this.#openInMemory(Number.POSITIVE_INFINITY)
    try {
      return new IndexFile(path)
    } catch (error) {
      if (!isBusy(error)) return this.#openEmpty(error)
      this.#warn('index is held by another process; working in memory until the next start', error)
      return this.#openInMemory(Number.POSITIVE_INFINITY)
    }
  }

  /** Everything is unknown afterwards: what is lost here is found again in the records. */
  #beginAgain(reason: unknown) {
    this.#pending.clear()
    this.#isHeld = false
    try {
      this.#file.abandon()
    } catch {
      // a damaged file may refuse even that, and is not opened again
    }
    this.#file = this.#openEmpty(reason)
  }

  /** A disk that failed a moment ago is left alone. */
  #openEmpty(reason: unknown): IndexFile {
    const { path, clock, retryMs } = this.#options
    const now = clock.monotonic()
    if (now >= this.#retryAt) {
      this.#retryAt = now + retryMs
      try {
        const file = createEmpty(path)
        this.#warn('index was unusable and is begun again', reason)
        return file
      } catch (error) {
        reason = error
      }
    }
    this.#warn('index has no usable file; working in memory', reason)
    return this.#openInMemory(this.#retryAt)
  }

  #openInMemory(retryAt: number): IndexFile {
    this.#retryAt = retryAt
    return new IndexFile(inMemory)
  }

  /** What was learnt in memory is given up for a file that lasts. */
  #tryDisk() {
    const { path, clock, retryMs, log } = this.#options
    if (this.#file.isPersistent || clock.monotonic() < this.#retryAt) return
    this.#retryAt = clock.monotonic() + retryMs
    try {
      const file = createEmpty(path)
      this.#file.abandon()
      this.#pending.clear()
      this.#file = file
      log.info({ path }, 'index has a file again')
    } catch {
      // still none: said when it began
    }
  }

  /** At most one line of a kind a minute. */
  #warn(message: string, reason: unknown) {
    const { path, log } = this.#options
    const about = { path, reason: reason instanceof Error ? reason.message : reason }
    this.#quiet.say(message, () => log.warn(about, message))
  }
}

/** A file in the place is ours and can be rebuilt, so it goes; anything else is someone's and moves aside. */
function createEmpty(path: string): IndexFile {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found?.isDirectory()) renameSync(path, `${path}.moved-aside`)
  for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(path + suffix, { force: true })
  return new IndexFile(path)
}
