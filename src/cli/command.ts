/** The command line: which subcommand, with which options. */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { parseSize } from '../config/quantity.ts'
import { type LogLevel, logLevels } from '../observe/log.ts'
import { version } from '../runtime/version.ts'
import type { AskCommand, ImageCommand } from './commands/ask.ts'

const usage = `layover: a pull-through caching OCI registry

  layover serve   [--config upstreams.yaml] [--log-level info]   run the registry
                  [--workers 1|2|…|auto]                         on so many cores; default: $LAYOVER_WORKERS, or 1
  layover check   [--config upstreams.yaml]                      print the effective configuration, without secrets
  layover reindex [--config upstreams.yaml]                      rebuild the index from the store
  layover gc      [--config upstreams.yaml] [--dry-run]          collect garbage of what was pushed, or say what would go
  layover scrub   [--config upstreams.yaml] [--dry-run]          check every byte and record of the store
  layover stats   [--config upstreams.yaml] [--json]             what the store holds, also beside a running server
  layover backup  [--config upstreams.yaml] [--verify] <folder>  copy what was pushed, beside a running server
  layover restore [--config upstreams.yaml] [--verify] <folder>  put a backup back into the store
                  [--replace]                                    tags that point elsewhere come from the backup
  layover password                                               print the hash of a password for the configuration

  Of a running server, over the socket in its store (--store <folder>: without reading the configuration):
  layover status  [--config upstreams.yaml] [--json]             how it fares
  layover flights [--config upstreams.yaml] [--json]             what it fetches right now
  layover inspect [--config upstreams.yaml] [--json] <image>     what is here of an image or a repository
  layover drop    [--config upstreams.yaml] <image>              drop the cached copy: the next pull asks upstream
  layover refresh [--config upstreams.yaml] <image>              ask upstream now where its tags point
  layover evict   [--config upstreams.yaml] <size>               free so much of what is cached: 10GiB
  layover pin     [--config upstreams.yaml] <image>              never evict what is here of it, nor what comes
  layover unpin   [--config upstreams.yaml] <image>              take that back
  layover pins    [--config upstreams.yaml] [--json]             what was pinned that way
  layover reload  [--config upstreams.yaml]                      read the configuration again

  layover policy test [--config upstreams.yaml] <image>          what the policies say, and why; no server has to run
                  [--action pull|push|delete|catalog|health|metrics] [--object manifest|blob|upload|tags|referrers]
                  [--user alice] [--method password|oidc|certificate|anonymous] [--provider gitlab]
                  [--claim name=value]… [--certificate dns=name]… [--client 10.1.2.3]
                  [--tag tag | --digest digest] [--ns docker.io]

  layover --version

Exit codes: 0 done (policy test: allowed), 1 failed (denied), 2 a mistake in the configuration or on the command line.
`

/** Resolves with the exit code. */
export async function run(args: readonly string[]): Promise<number> {
  if (args[0] === 'policy')
    return (await import('./commands/policy.ts')).runPolicy(args.slice(1), process.stdout, process.stderr)
  const parsed = parse(args)
  if (typeof parsed === 'string') {
    process.stderr.write(`layover: ${parsed}; \`layover --help\` tells what there is\n`)
    return 2
  }
  const { command, config, logLevel, workers, argument, verify, replace, dryRun, json, store } = parsed
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
      return (await import('./commands/check.ts')).runCheck(config, process.stdout, process.stderr)
    case 'password':
      return (await import('./commands/password.ts')).runPassword()
    case 'reindex':
      return (await import('./commands/reindex.ts')).runReindex(config, logLevel)
    case 'gc':
      return (await import('./commands/gc.ts')).runGc(config, { logLevel, dryRun })
    case 'scrub':
      return (await import('./commands/scrub.ts')).runScrub(config, { logLevel, dryRun })
    case 'stats':
      return (await import('./commands/stats.ts')).runStats(config, { json })
    case 'backup':
      return (await import('./commands/backup.ts')).runBackup(config, { folder: argument, verify, logLevel })
    case 'restore':
      return (await import('./commands/restore.ts')).runRestore(config, {
        folder: argument,
        verify,
        replace,
        logLevel,
      })
    case 'status':
    case 'flights':
    case 'reload':
    case 'inspect':
    case 'drop':
    case 'refresh':
    case 'pin':
    case 'unpin':
    case 'pins':
    case 'evict':
      return (await import('./commands/ask.ts')).runAsk(config, command, { argument, json, store })
  }
}

const askCommands = ['status', 'flights', 'reload', 'pins'] as const satisfies AskCommand[]
const imageCommands = ['inspect', 'drop', 'refresh', 'pin', 'unpin'] as const satisfies ImageCommand[]
const folderCommands = ['backup', 'restore'] as const
const commands = ['serve', 'check', 'password', 'reindex', 'gc', 'scrub', 'stats', ...askCommands] as const
const withArgument = [...imageCommands, ...folderCommands, 'evict'] as const

interface Parsed {
  command: (typeof commands)[number] | (typeof withArgument)[number] | 'help' | 'version'
  config: string
  logLevel: LogLevel
  /** Processes that take the connections of clients. */
  workers: number
  /** The folder of a backup, the name of an image, or how much. */
  argument: string
  verify: boolean
  replace: boolean
  /** Of a collection, or a scrub. */
  dryRun: boolean
  /** For programs. */
  json: boolean
  /** Where the running process has its files. */
  store: string | undefined
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
        workers: { type: 'string', default: process.env.LAYOVER_WORKERS || '1' },
        'log-level': { type: 'string', default: 'info' },
        verify: { type: 'boolean', default: false },
        replace: { type: 'boolean', default: false },
        'dry-run': { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        store: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
        version: { type: 'boolean', default: false },
      },
    })
    const { config, help, version: wantsVersion, verify, replace, json, store } = values
    const logLevel = logLevels.find(level => level === values['log-level'])
    if (!logLevel) return `--log-level is one of ${logLevels.join(', ')}`
    const workers = values.workers === 'auto' ? availableParallelism() : Number(values.workers)
    if (!Number.isInteger(workers) || workers < 1 || workers > mostWorkers)
      return `--workers is a number from 1 to ${mostWorkers}, or auto for one a core`
    const dryRun = values['dry-run']
    const options = { config, logLevel, workers, argument: '', verify, replace, dryRun, json, store }
    if (help || wantsVersion) return { ...options, command: help ? 'help' : 'version' }
    const named = commandIn(positionals)
    return typeof named === 'string' ? named : { ...options, ...named }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return message.replace(/\. To specify a positional.*/s, '') // Node's advice for what is no mistake of this kind
  }
}

/** The message for a person, when there is no such command. */
function commandIn([name, ...more]: readonly string[]): Pick<Parsed, 'command' | 'argument'> | string {
  if (name === undefined) return 'say which command to run'
  const command = [...commands, ...withArgument].find(known => known === name)
  if (!command) return `there is no command ${name}`
  const takesOne = withArgument.some(known => known === command)
  const [argument = '', ...rest] = takesOne ? more : ['', ...more]
  if (rest.length > 0) return `unexpected argument ${rest.join(' ')}`
  if (command === 'evict' && !parseSize(argument)) return 'say how much: 10GiB'
  if (takesOne && argument === '')
    return folderCommands.some(known => known === command)
      ? 'say which folder the backup is in'
      : 'say which image: docker.io/library/alpine:3.20'
  return { command, argument }
}
