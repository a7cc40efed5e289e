/** `layover gc`: garbage of pushed content collected, or told of: by who serves it, or here where nobody does. */
import { Collection } from '../collect/collection.ts'
import type { CollectOptions, Finding, Report } from '../collect/run.ts'
import type { Config } from '../config/config.ts'
import { loadConfig } from '../config/load.ts'
import { roundedSize } from '../config/quantity.ts'
import { Holdings } from '../index/local/holdings.ts'
import { openSqliteIndex } from '../index/rows/sqlite.ts'
import { createLogger, type LogLevel } from '../observe/log.ts'
import { createMetrics } from '../observe/metrics.ts'
import { systemClock as clock } from '../runtime/clock.ts'
import { openStore } from '../store/store.ts'
import { closedUpstream } from '../upstream/closed.ts'
import { AdminClient } from './admin-client.ts'
import { exitCodeOf } from './exit-code.ts'
import { namespaceOf, resolverOf } from './resolver.ts'

/** Resolves with the exit code. */
export async function runGc(
  configPath: string,
  { logLevel, dryRun }: { logLevel: LogLevel; dryRun: boolean },
): Promise<number> {
  try {
    const { config } = await loadConfig(configPath)
    const told = (finding: Finding) => void process.stdout.write(lineOf(finding))
    const serving = await AdminClient.find(config.store.path)
    const report = serving
      ? ((await serving.follow('/collections', { dryRun }, finding => told(finding as Finding))) as Report)
      : await collectHere(config, { dryRun, told, logLevel })
    process.stdout.write(summaryOf(report, dryRun))
    return report.skipped > 0 ? 1 : 0
  } catch (error) {
    return exitCodeOf(error, 'who serves a store collects its garbage (store.collectEvery)')
  }
}

async function collectHere(
  config: Config,
  { logLevel, ...options }: CollectOptions & { logLevel: LogLevel },
): Promise<Report> {
  const log = createLogger(logLevel)
  const metrics = createMetrics()
  const store = await openStore(config.store.path, { log, metrics })
  const index = await openSqliteIndex({ path: store.layout.index, clock, log })
  const holdings = new Holdings({ index, store, clock, log })
  const resolver = resolverOf(config, ({ options }) => closedUpstream(options))
  const { graceMs } = config.collection
  const collection = new Collection({
    store,
    holdings,
    clock,
    log,
    metrics,
    policyOf: key => namespaceOf(key, resolver),
    graceMs: () => graceMs,
  })
  const report = await collection.collect(options)
  await holdings.stop()
  await index.close()
  store.close()
  return report
}

function lineOf({ kind, repository, name, size, reason }: Finding): string {
  const where = repository === undefined ? '' : `${repository} `
  return `${kind} ${where}${name}${size === undefined ? '' : ` ${roundedSize(size)}`}: ${reason}\n`
}

function summaryOf(
  { tags, manifests, blobs, files, bytes, spared, skipped }: Report,
  dryRun: boolean,
): string {
  const lines = [
    `${dryRun ? 'would delete' : 'deleted'} ${tags} tags, ${manifests} manifests, ${blobs} blobs of repositories, and ${files} files of ${roundedSize(bytes)}`,
    ...(spared > 0 ? [`${spared} tags more, if their rules had \`enforce: true\``] : []),
    ...(skipped > 0 ? [`${skipped} repositories could not be read: see the log`] : []),
  ]
  return `${lines.join('\n')}\n`
}
