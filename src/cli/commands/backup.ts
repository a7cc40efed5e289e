/** `layover backup`: what was pushed, copied beside a running server. */
import { type Taken, takeBackup } from '../../backup/take.ts'
import { loadConfig } from '../../config/load.ts'
import { createLogger, type LogLevel } from '../../observe/log.ts'
import { assertOnDisk } from '../shared.ts'
import { exitCodeOf } from './exit-code.ts'

/** Resolves with the exit code. */
export async function runBackup(
  configPath: string,
  { folder, verify, logLevel }: { folder: string; verify: boolean; logLevel: LogLevel },
): Promise<number> {
  try {
    const { config } = await loadConfig(configPath)
    assertOnDisk(config, 'back up')
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
