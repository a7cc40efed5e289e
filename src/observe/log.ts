/** The log: one JSON line an event, to standard output, without secrets. */
import { type Logger, pino } from 'pino'

export type { Logger }

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** Times are ISO 8601. No caller logs a secret; should one do, the usual names of secrets are blotted out two levels deep. */
export function createLogger(level: LogLevel, destination?: { write(line: string): void }): Logger {
  const options = {
    level,
    base: null,
    messageKey: 'msg',
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: ['authorization', 'password', 'token', '*.authorization', '*.password', '*.token'],
  }
  return destination ? pino(options, destination) : pino(options)
}
