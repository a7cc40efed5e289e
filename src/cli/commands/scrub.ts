/** `layover scrub`: everything in the store read and checked: by who serves it, or here where nobody does. */
import type { Config } from '../../config/config.ts'
import { roundedSize } from '../../config/quantity.ts'
import { Catalog } from '../../index/catalog.ts'
import { createMetrics } from '../../observe/metrics.ts'
import { systemClock as clock } from '../../runtime/clock.ts'
import { type Finding, isSound, type Report } from '../../scrub/run.ts'
import { Scrub } from '../../scrub/scrub.ts'
import { openStore } from '../../store/store.ts'
import { withIndex } from '../index-place.ts'
import { noteOnBucket } from '../shared.ts'
import { carryOut, type HereOptions, type LongWork, type WorkOptions } from './long-work.ts'

/** Resolves with the exit code. */
export function runScrub(configPath: string, options: WorkOptions): Promise<number> {
  return carryOut(configPath, work, options)
}

const work: LongWork<Finding, Report> = {
  path: '/scrubs',
  here: scrubHere,
  lineOf,
  summaryOf,
  isDone: isSound,
  noteOn: config => noteOnBucket(config, 'checked whenever it is read'),
  advice: 'who serves a store scrubs it (store.scrubEvery)',
}

async function scrubHere(config: Config, { log, ...options }: HereOptions<Finding>): Promise<Report> {
  const metrics = createMetrics()
  const store = await openStore(config.store.path, { log, metrics })
  const bytesPerSecond = () => 0 // there is nobody to spare
  const report = await withIndex(config, { store, clock, log }, index => {
    const catalog = new Catalog(index, store, clock)
    return new Scrub({ store, catalog, clock, log, metrics, bytesPerSecond }).run(options)
  })
  store.close()
  return report
}

function lineOf({ kind, repository, name, reason }: Finding): string {
  return `${kind} ${repository === undefined ? '' : `${repository} `}${name}: ${reason}\n`
}

function summaryOf(report: Report, dryRun: boolean): string {
  const { files, bytes, dropped, records, quarantined, missing, malformed, unchecked } = report
  const lines = [
    `checked ${files} files of ${roundedSize(bytes)}`,
    `${dryRun ? 'would delete' : 'deleted'} ${dropped} damaged cached files and ${records} records that nothing needs`,
    ...(quarantined > 0 ? [`${quarantined} pushed files are damaged: push them again`] : []),
    ...(missing > 0 ? [`${missing} records of what was pushed name what is not here: push it again`] : []),
    ...(malformed > 0 ? [`${malformed} files among the records of what was pushed are no records`] : []),
    ...(unchecked > 0 ? [`${unchecked} files could not be checked: see the log`] : []),
  ]
  return `${lines.join('\n')}\n`
}
