/** `layover gc`: garbage of pushed content collected, or told of: by who serves it, or here where nobody does. */
import { Collection } from '../../collect/collection.ts'
import type { Finding, Report } from '../../collect/run.ts'
import type { Config } from '../../config/config.ts'
import { roundedSize } from '../../config/quantity.ts'
import { Holdings } from '../../index/local/holdings.ts'
import { createMetrics } from '../../observe/metrics.ts'
import { systemClock as clock } from '../../runtime/clock.ts'
import { openStore } from '../../store/store.ts'
import { closedUpstream } from '../../upstream/closed.ts'
import { withIndex } from '../index-place.ts'
import { namespaceOf, resolverOf } from '../resolver.ts'
import { assertAlone, openShared } from '../shared.ts'
import { carryOut, type HereOptions, type LongWork, type WorkOptions } from './long-work.ts'

/** Resolves with the exit code. */
export function runGc(configPath: string, options: WorkOptions): Promise<number> {
  return carryOut(configPath, work, options)
}

const work: LongWork<Finding, Report> = {
  path: '/collections',
  here: collectHere,
  lineOf,
  summaryOf,
  isDone: ({ skipped }) => skipped === 0,
  advice: 'who serves a store collects its garbage (store.collectEvery)',
}

async function collectHere(config: Config, { log, ...options }: HereOptions<Finding>): Promise<Report> {
  if (!options.dryRun) assertAlone(config)
  const metrics = createMetrics()
  const store = await openStore(config.store.path, { log, shared: await openShared(config), metrics })
  const resolver = resolverOf(config, given => closedUpstream(given.options))
  const { graceMs } = config.collection
  const report = await withIndex(config, { store, clock, log }, async index => {
    const holdings = new Holdings({ index, store, clock, log })
    const collection = new Collection({
      store,
      holdings,
      clock,
      log,
      metrics,
      policyOf: key => namespaceOf(key, resolver),
      graceMs: () => graceMs,
    })
    const collected = await collection.collect(options)
    await holdings.stop()
    return collected
  })
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
