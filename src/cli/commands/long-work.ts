/** Work on a whole store that a command begins: by who serves the store, or here where nobody does. */
import type { Config } from '../../config/config.ts'
import { loadConfig } from '../../config/load.ts'
import { createLogger, type Logger, type LogLevel } from '../../observe/log.ts'
import { AdminClient } from './admin-client.ts'
import { exitCodeOf } from './exit-code.ts'

export interface LongWork<Finding, Report> {
  /** Of the admin API. */
  readonly path: string
  readonly here: (config: Config, options: HereOptions<Finding>) => Promise<Report>
  readonly lineOf: (finding: Finding) => string
  readonly summaryOf: (report: Report, dryRun: boolean) => string
  /** Whether all is as it should be. */
  readonly isDone: (report: Report) => boolean
  /** What is to be known before, if anything. */
  readonly noteOn?: (config: Config) => string
  /** For who finds the store in other hands. */
  readonly advice: string
}

export interface HereOptions<Finding> {
  readonly dryRun: boolean
  readonly told: (finding: Finding) => void
  readonly log: Logger
}

export interface WorkOptions {
  readonly logLevel: LogLevel
  readonly dryRun: boolean
}

/** Resolves with the exit code. */
export async function carryOut<Finding, Report>(
  configPath: string,
  { path, here, lineOf, summaryOf, isDone, noteOn = () => '', advice }: LongWork<Finding, Report>,
  { logLevel, dryRun }: WorkOptions,
): Promise<number> {
  try {
    const { config } = await loadConfig(configPath)
    const told = (finding: Finding) => void process.stdout.write(lineOf(finding))
    process.stdout.write(noteOn(config))
    const serving = await AdminClient.find(config.store.path)
    const report = serving
      ? ((await serving.follow(path, { dryRun }, finding => told(finding as Finding))) as Report)
      : await here(config, { dryRun, told, log: createLogger(logLevel) })
    process.stdout.write(summaryOf(report, dryRun))
    return isDone(report) ? 0 : 1
  } catch (error) {
    return exitCodeOf(error, advice)
  }
}
