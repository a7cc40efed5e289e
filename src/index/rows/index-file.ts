/** The SQLite file of the index: its schema, its statements, and what its errors mean. */
import { randomUUID } from 'node:crypto'
import { statSync } from 'node:fs'
import { DatabaseSync, type SQLOutputValue, type StatementSync } from 'node:sqlite'
import { isSqlite, sqlite } from '../../store/sqlite-error.ts'
import type { Pending } from './pending.ts'
import type { ExpendableLimits, NamedValue } from './rows.ts'

const schemaVersion = 2

/** WITHOUT ROWID keeps rows in the order of their key, so that a page of tags is one run of neighbours. */
const schema = `
  CREATE TABLE entry (
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    expendable_since INTEGER,
    expendable_bytes INTEGER,
    PRIMARY KEY (scope, name)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX expendable ON entry (expendable_since, expendable_bytes) WHERE expendable_since IS NOT NULL;
  PRAGMA user_version = ${schemaVersion};
`

/** Bounds what an index without a file may take: 64 MiB in pages of 4 KiB. */
const memoryPages = 16_384
const openTimeoutMs = 1000
/** The inner pages of an index of millions of rows: what is asked for then is one page away. */
const cacheKiB = 16 * 1024
const life = { scope: 'life', name: 'epoch' } as const

export const inMemory = ':memory:'

export class IndexFile {
  #epoch: string
  readonly #path: string
  readonly #inode: number
  readonly #db: DatabaseSync
  readonly #statements: ReturnType<typeof prepare>

  /** @throws what SQLite throws for a file that is none, is damaged, of another schema, or held by another process. */
  constructor(path: string) {
    this.#path = path
    this.#db = new DatabaseSync(path, { timeout: openTimeoutMs })
    try {
      prepareSchema(this.#db)
      this.#statements = prepare(this.#db)
      this.#epoch = this.#beginLife()
      this.#inode = inodeOf(path)
      this.#db.exec(
        `PRAGMA busy_timeout = 0; ${path === inMemory ? `PRAGMA max_page_count = ${memoryPages}` : ''}`,
      )
    } catch (error) {
      this.#db.close()
      throw error
    }
  }

  /** The name of a life without lost rows: it goes on only after a clean close. */
  get epoch(): string {
    return this.#epoch
  }

  renew(): void {
    this.#epoch = randomUUID()
  }

  get isPersistent(): boolean {
    return this.#path !== inMemory
  }

  /** Whether the file still stands where it was opened. */
  get isInPlace(): boolean {
    return inodeOf(this.#path) === this.#inode
  }

  get(scope: string, name: string): string | undefined {
    return textOf(this.#statements.get.get(scope, name))
  }

  page(scope: string, after: string, limit: number): NamedValue[] {
    return rowsOf(this.#statements.page.all(scope, after, limit))
  }

  /** All or nothing. */
  write(pending: Pending, limits: ExpendableLimits): void {
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      if (this.#apply(pending)) this.#prune(limits)
      this.#db.exec('COMMIT')
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw error
    }
  }

  /** Closes so that the next open goes on with this epoch. */
  endLife(): void {
    try {
      this.#statements.put.run(life.scope, life.name, this.epoch, null, null)
    } finally {
      this.#db.close()
    }
  }

  /** Closes as a crash would. */
  abandon(): void {
    this.#db.close()
  }

  /**
   * Takes the epoch that a clean close left, or a new one. The taking is synced before anything else happens:
   * after a power cut the same epoch must not be found again.
   */
  #beginLife(): string {
    const left = this.get(life.scope, life.name)
    if (left === undefined) return randomUUID()
    this.#db.exec('PRAGMA synchronous = FULL')
    this.#statements.drop.run(life.scope, life.name)
    this.#db.exec('PRAGMA synchronous = NORMAL')
    return left
  }

  /** Whether expendable rows were among the changes. */
  #apply(pending: Pending): boolean {
    let expendable = false
    for (const [scope, name, change] of pending.changes()) {
      if (change === undefined) {
        this.#statements.drop.run(scope, name)
        continue
      }
      const since = change.expendableSince ?? null
      expendable ||= since !== null
      const bytes = since === null ? null : Buffer.byteLength(change.value)
      this.#statements.put.run(scope, name, change.value, since, bytes)
    }
    return expendable
  }

  #prune(limits: ExpendableLimits) {
    const total = this.#statements.expendableTotal.get()
    let rows = Number(total?.rows ?? 0)
    let bytes = Number(total?.bytes ?? 0)
    while (rows > limits.rows || bytes > limits.bytes) {
      const oldest = this.#statements.expendableOldest.get()
      if (oldest === undefined) return
      this.#statements.drop.run(String(oldest.scope), String(oldest.name))
      rows -= 1
      bytes -= Number(oldest.bytes)
    }
  }
}

/** Another process holds the file, or the disk is full: the same may succeed later. */
export function isPassing(error: unknown): boolean {
  return isBusy(error) || isSqlite(error, sqlite.full)
}

export function isBusy(error: unknown): boolean {
  return isSqlite(error, sqlite.busy, sqlite.locked)
}

function prepareSchema(db: DatabaseSync) {
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
  const isEmpty = versionOf(db) === 0 && db.prepare('SELECT 1 FROM sqlite_schema').get() === undefined
  if (isEmpty) db.exec(`BEGIN IMMEDIATE; ${schema} COMMIT`)
  else assertSchema(db)
}

/** @throws an Error for a file of another version, or of someone else */
export function assertSchema(db: DatabaseSync): void {
  const version = versionOf(db)
  if (version !== schemaVersion) throw new Error(`schema ${version} where ${schemaVersion} is expected`)
}

function versionOf(db: DatabaseSync): number {
  return Number(db.prepare('PRAGMA user_version').get()?.user_version)
}

function prepare(db: DatabaseSync) {
  const statement = (sql: string): StatementSync => db.prepare(sql)
  return {
    ...prepareReads(db),
    put: statement(`INSERT INTO entry VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value,
      expendable_since = excluded.expendable_since, expendable_bytes = excluded.expendable_bytes`),
    drop: statement('DELETE FROM entry WHERE scope = ? AND name = ?'),
    expendableTotal: statement(`SELECT count(*) AS rows, total(expendable_bytes) AS bytes
      FROM entry INDEXED BY expendable WHERE expendable_since IS NOT NULL`),
    expendableOldest: statement(`SELECT scope, name, expendable_bytes AS bytes
      FROM entry INDEXED BY expendable WHERE expendable_since IS NOT NULL ORDER BY expendable_since LIMIT 1`),
  }
}

export function prepareReads(db: DatabaseSync) {
  db.exec(`PRAGMA cache_size = -${cacheKiB}`)
  const get = db.prepare('SELECT value FROM entry WHERE scope = ? AND name = ?')
  get.setReturnArrays(true)
  return {
    get,
    page: db.prepare('SELECT name, value FROM entry WHERE scope = ? AND name > ? ORDER BY name LIMIT ?'),
  }
}

export function textOf(row: unknown): string | undefined {
  return Array.isArray(row) ? String(row[0]) : undefined
}

export function rowsOf(rows: readonly Row[]): NamedValue[] {
  return rows.map(({ name, value }) => ({ name: String(name), value: String(value) }))
}

type Row = Record<string, SQLOutputValue>

function inodeOf(path: string): number {
  return path === inMemory ? 0 : (statSync(path, { throwIfNoEntry: false })?.ino ?? -1)
}
