/** `layover serve`: the registry as a process, with its signals. */
import { once } from 'node:events'
import { isDeepStrictEqual } from 'node:util'
import { AdminUnusable } from '../admin/listen.ts'
import { openRedis, type Redis } from '../cluster/redis/redis.ts'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { ConfigError } from '../config/problem.ts'
import { type ConfigWatcher, watchConfig } from '../config/watch.ts'
import { createLogger, type Logger, type LogLevel } from '../observe/log.ts'
import { systemClock } from '../runtime/clock.ts'
import { StoreUnusable } from '../store/open.ts'
import { type Layover, startLayover } from './layover.ts'
import { type Announcement, type Openness, openToWhom } from './open-to-whom.ts'
import { isServer, runServer, serverProcesses } from './workers/spawn.ts'

/** Resolves with the exit code once everything has ended. */
export async function runServe(
  configPath: string,
  { logLevel, workers }: { logLevel: LogLevel; workers: number },
): Promise<number> {
  const log = createLogger(logLevel)
  if (isServer()) return runServer(log)
  const watching = Promise.withResolvers<ConfigWatcher>()
  let loaded: LoadedConfig
  let layover: Layover
  let redis: Redis | undefined
  try {
    loaded = await loadConfig(configPath)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    process.stderr.write(`${error.message}\n`)
    return 2
  }
  try {
    const { index } = loaded.config
    redis = index && (await openRedis(index, { log, clock: systemClock }))
    layover = await startLayover(loaded.config, {
      log,
      redis,
      reload: async () => (await watching.promise).reload(),
      workers: workers > 1 ? { count: workers, spawn: serverProcesses(log) } : undefined,
    })
  } catch (error) {
    process.stderr.write(`layover: ${startFailure(error)}\n`)
    await redis?.close()
    return 1
  }
  const tell = tellerOfOpenness(log)
  const stopped = untilStopped({ layover, loaded, log, tell, watching: watching.resolve }) // takes signals before anybody is told that it listens
  announce(log, layover)
  tell(loaded.config)
  await stopped
  await redis?.close()
  return 0
}

interface Serving {
  readonly layover: Layover
  readonly loaded: LoadedConfig
  readonly log: Logger
  /** Of each configuration that is taken over. */
  readonly tell: (config: Openness) => void
  /** Told who reads the configuration again. */
  readonly watching: (watcher: ConfigWatcher) => void
}

async function untilStopped({ layover, loaded, log, tell, watching }: Serving): Promise<void> {
  const ending = new AbortController()
  const warn = warner(log)
  warn(loaded)
  const watcher = watchConfig(loaded, {
    signal: ending.signal,
    onChange: async next => {
      try {
        await layover.reload(next.config)
        log.info('configuration reloaded')
        tell(next.config)
        warn(next)
      } catch (error) {
        log.error({ err: error }, 'configuration could not be taken over')
        throw error
      }
    },
    onError: error => {
      if (error instanceof ConfigError)
        log.error(
          { problems: error.problems },
          'the new configuration is refused, the old one stays in force',
        )
      else log.warn(error.message)
    },
  })
  watching(watcher)
  process.on('SIGHUP', () => void watcher.reload())
  const signal = await stopSignal()
  void stopSignal().then(() => process.exit(1))
  log.info({ signal }, 'stopping')
  ending.abort()
  await layover.stop()
  log.info('stopped')
}

/** Tells of what is new of it. */
function warner(log: Logger): (loaded: Pick<LoadedConfig, 'warnings'>) => void {
  let told: readonly string[] = []
  return ({ warnings }) => {
    const messages = warnings.map(({ key, message }) => `${key}: ${message}`)
    for (const message of messages) if (!told.includes(message)) log.warn(message)
    told = messages
  }
}

async function stopSignal(): Promise<string> {
  const given = new AbortController()
  const { signal } = given
  try {
    return await Promise.race(
      ['SIGTERM', 'SIGINT'].map(name => once(process, name, { signal }).then(() => name)),
    )
  } finally {
    given.abort()
  }
}

/** Says what is open to whom, when that has changed. */
function tellerOfOpenness(log: Logger): (config: Openness) => void {
  let told: Announcement | undefined
  return config => {
    const announcement = openToWhom(config)
    if (!isDeepStrictEqual(announcement, told)) log.info(announcement.fields, announcement.message)
    told = announcement
  }
}

function announce(log: Logger, { addresses, admin }: Layover): void {
  for (const address of addresses) log.info(address, 'listening')
  if (admin) log.info({ socket: admin.socket, ...admin.address }, 'the admin API listens')
}

function startFailure(error: unknown): string {
  if (error instanceof StoreUnusable || error instanceof AdminUnusable) return error.message
  const { code, hostname, address, port } = error as {
    code?: string
    /** A name that could not be resolved. */
    hostname?: string
    address?: string
    port?: number
  }
  const where = `${String(address)}:${String(port)}`
  if (code === 'EADDRINUSE')
    return `${where} is in use by another process: change \`listen\` or \`listeners\``
  if (code === 'EACCES') return `this user may not listen on ${where}: choose a port above 1023`
  if (hostname !== undefined)
    return `${hostname} has no address (${String(code)}): change \`listen\` or \`listeners\``
  if (code === 'EADDRNOTAVAIL')
    return `${where} is no address of this machine: change \`listen\` or \`listeners\``
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
