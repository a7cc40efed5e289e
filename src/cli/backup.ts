/** `layover backup`: what was pushed, copied beside a running server. */

import { BackupFailed } from '../backup/failure.ts'
import { type Taken, takeBackup } from '../backup/take.ts'
import { loadConfig } from '../config/load.ts'
import { ConfigError } from '../config/problem.ts'
import { createLogger, type LogLevel } from '../observe/log.ts'
import { StoreUnusable } from '../store/open.ts'

/** Resolves with the exit code. */
export async function runBackup(
  configPath: string,
  { folder, verify, logLevel }: { folder: string; verify: boolean; logLevel: LogLevel },
): Promise<number> {
  try {
    const { config } = await loadConfig(configPath)
    const log = createLogger(logLevel)
    const taken = await takeBackup({ root: config.store.path, path: folder, log, verify })
    return tell(taken, log)
  } catch (error) {
    return exitCodeOf(error)
  }
}

function tell(taken: Taken, log: ReturnType<typeof createLogger>): number {
  if (taken.damaged === 0) {
    log.info(taken, 'backup complete')
    return 0
  }
  log.error(taken, 'backup made without what is damaged: see above, and push that again')
  return 1
}

/** What went wrong is told in one line; a mistake of the program is thrown on. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof ConfigError) {
    process.stderr.write(`${error.message}\n`)
    return 2
  }
  if (!(error instanceof StoreUnusable || error instanceof BackupFailed)) throw error
  process.stderr.write(`layover: ${error.message}\n`)
  return 1
}
