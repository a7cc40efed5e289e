/** The one process that may write to a folder. */
import { hostname } from 'node:os'
import { DatabaseSync } from 'node:sqlite'
import { isSqlite, sqlite } from '../sqlite-error.ts'
import { StoreUnusable } from '../unusable.ts'

/**
 * An exclusive SQLite transaction on a file of its own: the kernel lets go of it however the process ends,
 * it works on every file system that SQLite works on, and the file can say who holds it.
 *
 * @param what is locked, for the message
 * @throws StoreUnusable when another process holds it, or what SQLite says
 */
export function takeLock(path: string, what: string): () => void {
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    tellHolder(database, `process ${process.pid} on ${hostname()}`)
    database.exec('BEGIN IMMEDIATE')
    return () => database.close()
  } catch (error) {
    const other = holderOf(database)
    database.close()
    if (!isSqlite(error, sqlite.busy)) throw error
    throw new StoreUnusable(`${what} is in use by ${other ?? 'another process'}`)
  }
}

/** On a full disk the lock holds without a name: deletes have to be able to make room. In one go: a disk takes its time for each. */
function tellHolder(database: DatabaseSync, holder: string): void {
  try {
    database.exec('PRAGMA journal_mode = DELETE')
    database.exec('BEGIN IMMEDIATE')
    database.exec('CREATE TABLE IF NOT EXISTS holder (name TEXT) STRICT')
    database.exec('DELETE FROM holder')
    database.prepare('INSERT INTO holder VALUES (?)').run(holder)
    database.exec('COMMIT')
  } catch (error) {
    if (!isSqlite(error, sqlite.full)) throw error
    if (database.isTransaction) database.exec('ROLLBACK')
  }
}

/** A reader may look while the lock is held: IMMEDIATE keeps out writers only. */
function holderOf(database: DatabaseSync): string | undefined {
  try {
    const row = database.prepare('SELECT name FROM holder').get()
    return typeof row?.name === 'string' ? row.name : undefined
  } catch {
    return undefined // the holder is just being written
  }
}
