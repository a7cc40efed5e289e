/** `layover reindex`: the index made anew from the store's records. */
import { loadConfig } from '../../config/load.ts'
import { Catalog } from '../../index/catalog.ts'
import { Holdings } from '../../index/local/holdings.ts'
import { rebuildIndex } from '../../index/reindex.ts'
import { createLogger, type LogLevel } from '../../observe/log.ts'
import { createMetrics } from '../../observe/metrics.ts'
import { systemClock } from '../../runtime/clock.ts'
import { openStore } from '../../store/store.ts'
import { withIndex } from '../index-place.ts'
import { openShared } from '../shared.ts'
import { exitCodeOf } from './exit-code.ts'

/** Resolves with the exit code. */
export async function runReindex(configPath: string, logLevel: LogLevel): Promise<number> {
  try {
    const { config } = await loadConfig(configPath)
    const log = createLogger(logLevel)
    const shared = await openShared(config)
    const store = await openStore(config.store.path, { log, shared, metrics: createMetrics() })
    const counted = await withIndex(config, { store, log, clock: systemClock }, index => {
      const catalog = new Catalog(index, store, systemClock, { strict: true })
      const holdings = new Holdings({ index, store, clock: systemClock, log })
      return rebuildIndex({ store, catalog, holdings })
    })
    store.close()
    log.info(counted, 'index rebuilt')
    return 0
  } catch (error) {
    return exitCodeOf(error)
  }
}
