/**
 * A process that reads what `mover.ts` writes until it finds the last move: `node follower.ts <path> <epoch>
 * <moves>`. Says `ready` when it begins, then `<number> <begun> <ended>` for each read of the tag, 0 where it is unknown, and `absent <repository>`
 * where a tag that was always there is called absent.
 */
import { openIndexReader } from '../../../src/index/rows/reader.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { keyOf } from '../../conformance/index-samples.ts'

const [path = '', epoch = '', moves = '0'] = process.argv.slice(2)
const { index, ...reader } = openIndexReader(path)
reader.use({ epoch })
const key = keyOf('team/app', '_local')
const now = () => process.hrtime.bigint() / 1000n
const lines: string[] = []
const last = Number(moves)

console.log('ready')

for (let found = 0, hunted = 1, tries = 0; found < last && tries < 1e6; tries += 1) {
  const begun = now()
  const answer = await index.tag(key, 'latest' as Tag)
  const move = answer.answer === 'present' ? (answer.value.size ?? 0) : 0
  lines.push(`${move} ${begun} ${now()}`)
  found = Math.max(found, move)
  hunted = Math.max(hunted, found) // what is being completed about now
  const there = await index.tag(keyOf(`r${hunted}`, '_local'), 'latest' as Tag)
  if (there.answer === 'absent') lines.push(`absent r${hunted}`)
  if (there.answer === 'present') hunted += 1
}
console.log(lines.join('\n'))
