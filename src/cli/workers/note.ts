/** What servers tell their primary of what they gave and counted. */
import type { SharedCounts } from '../../cluster/counts.ts'
import { localRegistry } from '../../store/layout.ts'
import type { Parts } from '../parts.ts'
import type { Report } from './orders.ts'

/** What a server has given is in use; what it has counted is added to what others did. Returns what it asks for. */
export function note(
  report: Report,
  {
    store,
    catalog,
    holdings,
    counts,
  }: Pick<Parts, 'store' | 'catalog' | 'holdings'> & { counts: SharedCounts },
): unknown {
  if (report.kind === 'counts') return counts.exchange(report.increments, report.lifeMs)
  if (report.kind === 'used') {
    store.use(report.digests)
    return undefined
  }
  const { key, digest } = report
  const owner = key.registry === localRegistry ? holdings : catalog
  owner.notePull(key, digest)
  return undefined
}
