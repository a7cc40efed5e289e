/** Why a store cannot be used, for the person who starts the program. */

import { isCode } from './files/system-error.ts'
import { isSqlite, sqlite } from './sqlite-error.ts'

/** The store cannot be used; the message is one line for the person who starts the program. */
export class StoreUnusable extends Error {
  override readonly name = 'StoreUnusable'
}

export function reason(error: unknown): string {
  if (isCode(error, 'EACCES', 'EPERM', 'EROFS') || isSqlite(error, sqlite.readOnly, sqlite.cannotOpen))
    return 'it is not writable by this user'
  if (isCode(error, 'ENOTDIR', 'EEXIST')) return 'something that is no folder is in the way'
  if (isCode(error, 'ENOSPC', 'EDQUOT') || isSqlite(error, sqlite.full)) return 'the disk is full'
  return error instanceof Error ? error.message : String(error)
}
