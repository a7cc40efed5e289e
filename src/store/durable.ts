/** Files that appear whole or not at all. */
import { randomUUID } from 'node:crypto'
import { link, mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Makes what was created, renamed or removed in a folder survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Creates the folder; each one it had to make is synced into its parent. */
export async function ensureFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true })
  if (first === undefined) return
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made))
}

export interface WriteOptions {
  /** Folder on the same file system for the file until it is whole. */
  scratch: string
  /** Content and name survive a power cut when the promise resolves. */
  durable: boolean
}

/** Writes the file and puts it under its name, replacing what was there. */
export async function writeWhole(
  path: string,
  content: Uint8Array | string,
  options: WriteOptions,
): Promise<void> {
  const written = await writeScratch(content, options)
  try {
    await ensureFolder(dirname(path))
    await rename(written, path)
  } catch (error) {
    await rm(written, { force: true })
    throw error
  }
  if (options.durable) await syncFolder(dirname(path))
}

/** As `writeWhole`, but resolves with false and changes nothing when the name is taken. */
export async function createWhole(
  path: string,
  content: Uint8Array | string,
  options: WriteOptions,
): Promise<boolean> {
  const written = await writeScratch(content, options)
  try {
    await ensureFolder(dirname(path))
    await link(written, path)
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false
    throw error
  } finally {
    await rm(written, { force: true })
  }
  if (options.durable) await syncFolder(dirname(path))
  return true
}

async function writeScratch(
  content: Uint8Array | string,
  { scratch, durable }: WriteOptions,
): Promise<string> {
  const path = join(scratch, `new-${randomUUID()}`)
  const file = await open(path, 'wx')
  try {
    await file.writeFile(content)
    if (durable) await file.datasync()
  } catch (error) {
    await rm(path, { force: true })
    throw error
  } finally {
    await file.close()
  }
  return path
}

export function isCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}
