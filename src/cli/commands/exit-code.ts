/** How a command that does one thing ends when that fails. */
import { BackupFailed } from '../../backup/failure.ts'
import { ConfigError } from '../../config/problem.ts'
import { IndexLost } from '../../index/reindex.ts'
import { ObjectsFailure } from '../../store/objects.ts'
import { StoreUnusable } from '../../store/open.ts'
import { AdminRefused } from './admin-client.ts'

/**
 * What went wrong is told in one line; a mistake of the program is thrown on.
 *
 * @param advice what to do about a store that cannot be used
 */
export function exitCodeOf(error: unknown, advice?: string): number {
  if (error instanceof ConfigError) {
    process.stderr.write(`${error.message}\n`)
    return 2
  }
  if (!isExpected(error)) throw error
  const more = advice !== undefined && error instanceof StoreUnusable ? `; ${advice}` : ''
  const message = error instanceof ObjectsFailure ? error.said : error.message
  process.stderr.write(`layover: ${message}${more}\n`)
  return 1
}

function isExpected(error: unknown): error is Error {
  return [StoreUnusable, BackupFailed, IndexLost, AdminRefused, ObjectsFailure].some(
    expected => error instanceof expected,
  )
}
