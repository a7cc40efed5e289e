/**
 * A process that moves a tag as fast as it can: `node mover.ts <path> <moves>`. Says the index's epoch, waits for a
 * byte, then says `<number> <begun> <acknowledged>` for each move, in microseconds of a clock that all processes share.
 * Beside it repositories are completed, `r<number>`: each with one tag that was always there.
 */
import { once } from 'node:events'
import { openSqliteIndex } from '../../../src/index/rows/sqlite.ts'
import { createLogger } from '../../../src/observe/log.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { keyOf, tagged } from '../../conformance/index-samples.ts'

const [path = '', moves = '0'] = process.argv.slice(2)
const index = await openSqliteIndex({ path, clock: systemClock, log: createLogger('silent'), flushMs: 1 })
const key = keyOf('team/app', '_local')
const now = () => process.hrtime.bigint() / 1000n

const stopped = once(process.stdin, 'end')

console.log(index.shared?.epoch)
await once(process.stdin, 'data')
for (let move = 1; move <= Number(moves); move += 1) {
  const begun = now()
  await index.putTag(key, 'latest' as Tag, tagged('moved', { size: move }))
  if (!(await index.flush())) throw new Error('the file cannot be written')
  console.log(`${move} ${begun} ${now()}`)
  const whole = keyOf(`r${move}`, '_local')
  await index.putTag(whole, 'latest' as Tag, tagged('there'))
  if (move % 2 === 0) await index.flush()
  await index.markComplete(whole, 'tags')
}
await index.flush()
await stopped // a close would check the journal in
await index.close()
