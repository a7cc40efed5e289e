/** `layover restore`: a backup put back into the store. */
import { restoreBackup } from '../../backup/restore.ts'
import { loadConfig } from '../../config/load.ts'
import { createLogger, type LogLevel } from '../../observe/log.ts'
import { assertOnDisk } from '../shared.ts'
import { exitCodeOf } from './exit-code.ts'

export interface RestoreArgs {
  readonly folder: string
  readonly replace: boolean
  readonly verify: boolean
  readonly logLevel: LogLevel
}

/** Resolves with the exit code. */
export async function runRestore(configPath: string, args: RestoreArgs): Promise<number> {
  const { folder, replace, verify, logLevel } = args
  try {
    const { config } = await loadConfig(configPath)
    assertOnDisk(config, 'restore')
    const log = createLogger(logLevel)
    const restored = await restoreBackup({ root: config.store.path, path: folder, log, replace, verify })
    if (restored.damaged === 0) log.info(restored, 'restore complete')
    else log.error(restored, 'restored without what is damaged in the backup: see above')
    return restored.damaged === 0 ? 0 : 1
  } catch (error) {
    return exitCodeOf(error)
  }
}
