/** The command line: which subcommand, with which options. */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { type LogLevel, logLevels } from '../observe/log.ts'
import { version } from '../runtime/version.ts'

const usage = `layover: a pull-through caching OCI registry

  layover serve   [--config upstreams.yaml] [--log-level info]   run the registry
                  [--workers 1|2|…|auto]                         on so many cores; default: $LAYOVER_WORKERS, or 1
  layover check   [--config upstreams.yaml]                      print the effective configuration, without secrets
  layover reindex [--config upstreams.yaml]                      rebuild the index from the store
  layover --version

Exit codes: 0 done, 1 failed, 2 a mistake in the configuration or on the command line.
`

/** Resolves with the exit code. */
export async function run(args: readonly string[]): Promise<number> {
  const parsed = parse(args)
  if (typeof parsed === 'string') {
    process.stderr.write(`layover: ${parsed}; \`layover --help\` tells what there is\n`)
    return 2
  }
  const { command, config, logLevel, workers } = parsed
  switch (command) {
    case 'help':
      process.stdout.write(usage)
      return 0
    case 'version':
      process.stdout.write(`${version}\n`)
      return 0
    case 'serve':
      return (await import('./serve.ts')).runServe(config, { logLevel, workers })
    case 'check':
      return (await import('./check.ts')).runCheck(config, process.stdout, process.stderr)
    case 'reindex':
      return (await import('./reindex.ts')).runReindex(config, logLevel)
  }
}

interface Parsed {
  command: 'serve' | 'check' | 'reindex' | 'help' | 'version'
  config: string
  logLevel: LogLevel
  /** Processes that take the connections of clients. */
  workers: number
}

/** More processes than any machine has cores are a slip of the finger. */
const mostWorkers = 1024

/** The message for a person, when there is nothing to run. */
function parse(args: readonly string[]): Parsed | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        config: { type: 'string', short: 'c', default: 'upstreams.yaml' },
        workers: { type: 'string', default: process.env.LAYOVER_WORKERS ?? '1' },
        'log-level': { type: 'string', default: 'info' },
        help: { type: 'boolean', short: 'h', default: false },
        version: { type: 'boolean', default: false },
      },
    })
    const { config, help, version: wantsVersion } = values
    const logLevel = logLevels.find(level => level === values['log-level'])
    if (!logLevel) return `--log-level is one of ${logLevels.join(', ')}`
    const workers = values.workers === 'auto' ? availableParallelism() : Number(values.workers)
    if (!Number.isInteger(workers) || workers < 1 || workers > mostWorkers)
      return `--workers is a number from 1 to ${mostWorkers}, or auto for one a core`
    if (help || wantsVersion) return { command: help ? 'help' : 'version', config, logLevel, workers }
    const [command, ...more] = positionals
    if (more.length > 0) return `unexpected argument ${more.join(' ')}`
    if (command === 'serve' || command === 'check' || command === 'reindex')
      return { command, config, logLevel, workers }
    return command === undefined ? 'say which command to run' : `there is no command ${command}`
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return message.replace(/\. To specify a positional.*/s, '') // Node's advice for what is no mistake of this kind
  }
}
