/**
 * A process that owns a store until it is stopped: `node filler.ts <path> <blocks>`.
 * Writes so many blocks of the pattern's blob and says `ready`: once a note was written, if there are enough of them.
 */
import { readdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { createLogger } from '../../../src/observe/log.ts'
import { createMetrics } from '../../../src/observe/metrics.ts'
import { openStore } from '../../../src/store/store.ts'
import { blobDigest, blobSize, patternBlock } from './pattern.ts'

/** A partial is synced each 64 MiB. */
const blocksWithNote = 64

const [path = '', count = '0'] = process.argv.slice(2)
const blocks = Number(count)
const store = await openStore(path, { log: createLogger('silent'), metrics: createMetrics() })
if (blocks > 0) {
  const partial = await store.begin(blobDigest())
  partial.note = { total: blobSize }
  for (let at = 0; at < blocks; at += 1) await partial.append([patternBlock(at)])
}
const noted = async () => (await readdir(store.layout.partials)).some(name => name.endsWith('.note'))
if (blocks >= blocksWithNote) while (!(await noted())) await sleep(5)
process.stdout.write('ready\n')
setInterval(() => {}, 60_000)
