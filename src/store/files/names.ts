/** What lies in the folders of records, read as it is needed: none of it is ever in memory whole. */
import type { Dir } from 'node:fs'
import { access, opendir } from 'node:fs/promises'
import { ifThere, isCode } from './system-error.ts'

/** Entries that the system is asked for at a time. */
const bufferSize = 256

export interface RecordNames {
  /**
   * Names in a folder in no order, some at a time and perhaps each time in the same array; none when there is no such
   * folder. Rejects when that cannot be told.
   */
  in(folder: string, count: number): AsyncGenerator<readonly string[]>

  /** Whether the folder itself is there: without it what is not in it may be lost. */
  isThere(folder: string): Promise<boolean>
}

export const diskNames: RecordNames = {
  in: namesOf,
  isThere: async folder => (await ifThere(access(folder).then(() => true))) ?? false,
}

/**
 * Names in a folder in no order, some at a time; none when there is no such folder. Each time in the same array: of arrays
 * that are often held for long V8 makes the next ones among the old objects, where the dead ones keep every name in memory.
 */
async function* namesOf(folder: string, count: number): AsyncGenerator<readonly string[]> {
  let dir: Dir
  try {
    dir = await opendir(folder, { bufferSize })
  } catch (error) {
    if (isNoFolder(error)) return
    throw error
  }
  const names: string[] = []
  try {
    for (await readNext(dir, names, count); names.length > 0; await readNext(dir, names, count)) yield names
  } finally {
    await dir.close()
  }
}

/** None at the end. As an async iterable the folder makes several promises of each name: a million names show it. */
function readNext(dir: Dir, names: string[], count: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  names.length = 0
  const read = () =>
    dir.read((error, entry) => {
      if (error) return reject(error)
      if (entry) names.push(entry.name)
      if (!entry || names.length === count) return resolve()
      read()
    })
  read()
  return promise
}

export function isNoFolder(error: unknown): boolean {
  return isCode(error, 'ENOENT', 'ENOTDIR')
}
