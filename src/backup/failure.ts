/** What ends a backup or a restore, and what only leaves something out of it. */
import { isCode } from '../store/files/system-error.ts'
import { reason } from '../store/unusable.ts'

/** Nothing more can be done; the message is one line for the person who runs the command. */
export class BackupFailed extends Error {
  override readonly name = 'BackupFailed'
}

/** One file or record cannot be used; the others can. */
export class Damaged extends Error {
  override readonly name = 'Damaged'
}

/** What a read gives; undefined for what is not there. @throws Damaged where it cannot be read */
export async function readable<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return undefined
    if (isCode(error, 'EMFILE', 'ENFILE', 'ENOMEM')) throw error // of this process, not of the file
    throw new Damaged(`it cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  }
}

/** The system's errors as one line; others are for whoever looks for mistakes in the program. */
export function asFailure(error: unknown, what: string): unknown {
  const isSystem = error instanceof Error && ('syscall' in error || 'errcode' in error)
  return isSystem ? new BackupFailed(`${what}: ${reason(error)}`, { cause: error }) : error
}
