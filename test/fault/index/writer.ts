/** A process that writes numbered tags until it is stopped: `node writer.ts <path> <count>`. Says `<n> <up>` as it goes. */
import { openSqliteIndex } from '../../../src/index/rows/sqlite.ts'
import { createLogger } from '../../../src/observe/log.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { keyOf, tagged } from '../../conformance/index-samples.ts'

const [path = '', count = '0'] = process.argv.slice(2)
const index = await openSqliteIndex({
  path,
  clock: systemClock,
  log: createLogger('silent'),
  flushMs: 1,
  flushRows: 7,
})
const key = keyOf('a')
await index.markComplete(key, 'tags')
for (let at = 0; at < Number(count); at += 1) {
  await index.putTag(key, String(at).padStart(8, '0') as Tag, tagged(String(at)))
  if (at % 50 === 0) await new Promise(resolve => process.stdout.write(`${at} ${index.up}\n`, resolve))
}
await index.close()
