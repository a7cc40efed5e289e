/** `layover reindex`: the index made anew from the store's records. */
import { openRedis } from '../cluster/redis.ts'
import { loadConfig } from '../config/load.ts'
import { Catalog } from '../index/catalog.ts'
import { Holdings } from '../index/local/holdings.ts'
import { rebuildIndex } from '../index/reindex.ts'
import { createLogger, type LogLevel } from '../observe/log.ts'
import { createMetrics } from '../observe/metrics.ts'
import { systemClock } from '../runtime/clock.ts'
import { openStore } from '../store/store.ts'
import { exitCodeOf } from './exit-code.ts'
import { openIndex } from './index-place.ts'
import { openShared } from './shared.ts'

/** Resolves with the exit code. */
export async function runReindex(configPath: string, logLevel: LogLevel): Promise<number> {
  try {
    const { config } = await loadConfig(configPath)
    const log = createLogger(logLevel)
    const store = await openStore(config.store.path, {
      log,
      shared: await openShared(config),
      metrics: createMetrics(),
    })
    const deps = { log, clock: systemClock }
    const redis = config.index && (await openRedis(config.index, deps))
    const { index } = await openIndex({ store, redis, ...deps })
    const catalog = new Catalog(index, store, systemClock, { strict: true })
    const holdings = new Holdings({ index, store, clock: systemClock, log })
    const counted = await rebuildIndex({ store, catalog, holdings })
    await index.close()
    await redis?.close()
    store.close()
    log.info(counted, 'index rebuilt')
    return 0
  } catch (error) {
    return exitCodeOf(error)
  }
}
