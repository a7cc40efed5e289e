/** What becomes of a file that is not what its name says: upstream gives a cached one again, a pushed one is kept for a person to look at. */
import { stat } from 'node:fs/promises'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Digest } from '../oci/digest.ts'
import { ifThere } from './files/system-error.ts'
import type { Store } from './store.ts'

interface Condemned {
  readonly digest: Digest
  /** Another file may have its place by now. */
  readonly inode: number
  readonly log: Logger
  readonly metrics: Metrics
}

/** Under both of its names, if it has two. What the disk refuses is told of: the file counts as absent all the same. */
export async function condemn(store: Store, { digest, inode, log, metrics }: Condemned): Promise<void> {
  const { layout, pushed } = store
  const isAt = async (path: string) => (await ifThere(stat(path)))?.ino === inode
  try {
    if (await isAt(layout.cached(digest))) {
      metrics.damaged.inc({ area: 'cached' })
      log.warn({ digest }, 'a cached file did not survive an unclean stop: fetched again')
      await store.drop(digest)
    }
    if (!(await isAt(layout.pushed(digest)))) return
    metrics.damaged.inc({ area: 'pushed' })
    const isAway = await pushed.setAside(digest, layout.quarantined(digest), found => found === inode)
    const isHealed = isAway === true && (await pushed.pin(digest))
    log.error({ digest, isAway, isHealed }, 'a pushed file did not survive an unclean stop: push it again')
  } catch (err) {
    log.error({ digest, err }, 'a damaged file could not be put away')
  }
}
