/** The log: one JSON line an event, to standard output, without secrets. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type DestinationStream, type Logger, pino, symbols } from 'pino'

export type { Logger }

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** So much waits for a reader of the log who is slow; what comes then is lost, and counted. */
const maxWaitingBytes = 16 * 1024 * 1024

/** Times are ISO 8601. No caller logs a secret; should one do, the usual names of secrets are blotted out two levels deep. */
export function createLogger(level: LogLevel, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: null,
    messageKey: 'msg',
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: ['authorization', 'password', 'token', '*.authorization', '*.password', '*.token'],
  }
  return destination ? pino(options, destination) : withOutput(output => pino(options, output))
}

/**
 * Resolves when what waits is written, or cannot be, or after so long; what is not written by then is lost. For a process
 * that has to end though nobody may read its log any more: at its exit each line would be tried for ever.
 */
export async function endLog(log: Logger, withinMs: number): Promise<void> {
  const written = new Promise<void>(resolve => log.flush(() => resolve()))
  await Promise.race([written, sleep(withinMs)])
  dropRest(log)
}

/** What waits is lost: nobody is there to read it. */
export function dropRest(log: Logger): void {
  Object.assign(log[symbols.streamSym as never], { flushSync: () => {} })
}

/** Standard output, which nobody waits for. What is still to be written at the end of the process is written then. */
function withOutput(create: (output: DestinationStream) => Logger): Logger {
  const output = pino.destination({ dest: 1, sync: false, maxLength: maxWaitingBytes })
  const flushSync = output.flushSync.bind(output)
  const log = create(output)
  let lost = 0
  output.on('drop', (lines: string) => {
    lost += lines.split('\n').length - 1
  })
  // A full disk: the next line tries again. At the end of the process nobody tries until there is room.
  output.on('error', () => {
    output.flushSync = () => {}
  })
  output.on('drain', () => {
    output.flushSync = flushSync
    if (lost > 0) log.warn({ lines: lost }, 'who reads this log was too slow: lines are missing')
    lost = 0
  })
  return log
}
