/** Metrics as they are scraped: of this process, and of the servers beside it. */
import type { Scrape } from '../edge/pages.ts'
import type { Index } from '../index/index.ts'
import type { Metrics } from '../observe/metrics.ts'
import { countedBy, sum } from '../observe/sum.ts'
import type { Servers } from './workers/servers.ts'

export interface Scraped {
  readonly metrics: Metrics
  /** Puts into them what is not counted as it happens. */
  readonly measure: () => void
  readonly index: Pick<Index, 'up'>
  readonly servers: Pick<Servers, 'metrics'> | undefined
}

export async function scrape({ metrics, measure, index, servers }: Scraped): Promise<Scrape> {
  measure()
  metrics.indexUp.set(index.up ? 1 : 0)
  const { registry } = metrics
  const { contentType } = registry
  if (!servers) return { text: await registry.metrics(), contentType }
  const all = [await countedBy(metrics), ...(await servers.metrics())]
  return { text: await sum(all).metrics(), contentType }
}
