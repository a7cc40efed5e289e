/**
 * A process that moves a tag as fast as it can: `node mover.ts <path> <moves>`. Says the index's epoch, then
 * `<number> <begun> <acknowledged>` for each move, in microseconds of a clock that all processes share. Beside it
 * repositories are completed, `r<number>`: each with one tag that was always there.
 */
import { openSqliteIndex } from '../../../src/index/rows/sqlite.ts'
import { createLogger } from '../../../src/observe/log.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { keyOf, tagged } from '../../conformance/index-samples.ts'

const [path = '', moves = '0'] = process.argv.slice(2)
const index = await openSqliteIndex({ path, clock: systemClock, log: createLogger('silent'), flushMs: 1 })
const key = keyOf('team/app', '_local')
const now = () => process.hrtime.bigint() / 1000n

console.log(index.shared?.epoch)
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
await new Promise(resolve => process.stdin.once('end', resolve).resume()) // a close would check the journal in
await index.close()
