/** Opening a store: its format, its one owner, its folders. Nothing in it is read. */
import { mkdir, readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { WholeFiles } from './durable.ts'
import { syncFolder } from './folders.ts'
import { Layout } from './layout.ts'
import { isCode } from './system-error.ts'

/** The store cannot be used; the message is one line for the person who starts the program. */
export class StoreUnusable extends Error {
  override readonly name = 'StoreUnusable'
}

const formatVersion = 1

/** @throws StoreUnusable when it cannot be written, is of a newer format, or another process owns it */
export async function openLayout(root: string): Promise<{ layout: Layout; unlock: () => void }> {
  const layout = new Layout(root)
  try {
    await makeRoot(root)
    for (const folder of [layout.partials, layout.uploads, layout.trash, layout.names])
      await mkdir(folder, { recursive: true })
    return await lockChecked(layout)
  } catch (error) {
    if (error instanceof StoreUnusable) throw error
    throw new StoreUnusable(`cannot use the store at ${root}: ${reason(error)}`, { cause: error })
  }
}

/** Where the store is made, its own name has to survive a power cut like all that is put into it. */
async function makeRoot(root: string): Promise<void> {
  const path = resolve(root)
  const first = await mkdir(path, { recursive: true })
  if (first === undefined) return
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made))
}

async function lockChecked(layout: Layout): Promise<{ layout: Layout; unlock: () => void }> {
  const unlock = takeLock(layout)
  try {
    await checkFormat(layout)
    return { layout, unlock }
  } catch (error) {
    unlock()
    throw error
  }
}

async function checkFormat(layout: Layout): Promise<void> {
  let text: string
  try {
    text = await readFile(layout.format, 'utf8')
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error
    const format = `${JSON.stringify({ v: formatVersion })}\n`
    return new WholeFiles(layout).write(layout.format, format, { durable: true })
  }
  const v = versionIn(text)
  if (v === formatVersion) return
  if (v === undefined) {
    throw new StoreUnusable(
      `${layout.format} is damaged: restore it, or remove it if this version of the program wrote the store`,
    )
  }
  throw new StoreUnusable(
    `the store at ${layout.root} has format ${JSON.stringify(v)}, this program knows ${formatVersion}: use the program that wrote it`,
  )
}

function versionIn(text: string): unknown {
  try {
    return (JSON.parse(text) as { v?: unknown } | null)?.v
  } catch {
    return undefined // no JSON: the caller says what to do
  }
}

/**
 * An exclusive SQLite transaction on a file of its own: the kernel lets go of it however the process ends,
 * it works on every file system that SQLite works on, and the file can say who holds it.
 */
function takeLock(layout: Layout): () => void {
  const database = new DatabaseSync(layout.lock, { timeout: 0 })
  try {
    tellHolder(database, `process ${process.pid} on ${hostname()}`)
    database.exec('BEGIN IMMEDIATE')
    return () => database.close()
  } catch (error) {
    const other = holderOf(database)
    database.close()
    if (!isBusy(error)) throw error
    throw new StoreUnusable(`the store at ${layout.root} is in use by ${other ?? 'another process'}`)
  }
}

/** On a full disk the lock holds without a name: deletes have to be able to make room. */
function tellHolder(database: DatabaseSync, holder: string): void {
  try {
    database.exec('PRAGMA journal_mode = DELETE')
    database.exec('CREATE TABLE IF NOT EXISTS holder (name TEXT) STRICT')
    database.exec('DELETE FROM holder')
    database.prepare('INSERT INTO holder VALUES (?)').run(holder)
  } catch (error) {
    if (!isSqlite(error, sqlite.full)) throw error
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

/** SQLite's primary result codes. */
const sqlite = { busy: 5, readOnly: 8, full: 13, cannotOpen: 14 }

function isBusy(error: unknown): boolean {
  return isSqlite(error, sqlite.busy)
}

function isSqlite(error: unknown, ...codes: number[]): boolean {
  return error instanceof Error && 'errcode' in error && codes.includes(Number(error.errcode) & 0xff)
}

function reason(error: unknown): string {
  if (isCode(error, 'EACCES', 'EPERM', 'EROFS') || isSqlite(error, sqlite.readOnly, sqlite.cannotOpen))
    return 'it is not writable by this user'
  if (isCode(error, 'ENOTDIR', 'EEXIST')) return 'something that is no folder is in the way'
  if (isCode(error, 'ENOSPC') || isSqlite(error, sqlite.full)) return 'the disk is full'
  return error instanceof Error ? error.message : String(error)
}
