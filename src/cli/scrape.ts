/** Metrics as they are scraped: of this process, and of the servers beside it. */
import type { Scrape } from '../edge/pages.ts'
import type { Index } from '../index/index.ts'
import type { Metrics } from '../observe/metrics.ts'
import { countedBy, sum } from '../observe/sum.ts'
import type { Store } from '../store/store.ts'
import type { Servers } from './workers/servers.ts'

export interface Scraped {
  readonly metrics: Metrics
  readonly store: Pick<Store, 'measure'>
  readonly index: Pick<Index, 'up'>
  readonly servers: Pick<Servers, 'metrics'> | undefined
}

export async function scrape({ metrics, store, index, servers }: Scraped): Promise<Scrape> {
  store.measure()
  metrics.indexUp.set(index.up ? 1 : 0)
  const { registry } = metrics
  const { contentType } = registry
  if (!servers) return { text: await registry.metrics(), contentType }
  const all = [await countedBy(metrics), ...(await servers.metrics())]
  return { text: await sum(all).metrics(), contentType }
}
