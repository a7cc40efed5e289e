/** How a command that does one thing ends when that fails. */
import { BackupFailed } from '../backup/failure.ts'
import { ConfigError } from '../config/problem.ts'
import { IndexLost } from '../index/reindex.ts'
import { StoreUnusable } from '../store/open.ts'

/**
 * What went wrong is told in one line; a mistake of the program is thrown on.
 *
 * @param advice what to do about it
 */
export function exitCodeOf(error: unknown, advice?: string): number {
  if (error instanceof ConfigError) {
    process.stderr.write(`${error.message}\n`)
    return 2
  }
  if (!isExpected(error)) throw error
  process.stderr.write(`layover: ${error.message}${advice === undefined ? '' : `; ${advice}`}\n`)
  return 1
}

function isExpected(error: unknown): error is Error {
  return error instanceof StoreUnusable || error instanceof BackupFailed || error instanceof IndexLost
}
