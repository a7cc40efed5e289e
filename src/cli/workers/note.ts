/** What servers tell their primary of what they gave. */
import { localRegistry } from '../../store/layout.ts'
import type { Parts } from '../parts.ts'
import type { Report } from './orders.ts'

/** What a server has given is in use. */
export function note(
  report: Report,
  { store, catalog, holdings }: Pick<Parts, 'store' | 'catalog' | 'holdings'>,
): void {
  if (report.kind === 'used') {
    store.use(report.digests)
    return
  }
  const { key, digest } = report
  const owner = key.registry === localRegistry ? holdings : catalog
  owner.notePull(key, digest)
}
