/** What the SQLite index costs with a million tags: `node bench/index.ts [tags]`. */
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Index } from '../src/index/index.ts'
import { openSqliteIndex } from '../src/index/rows/sqlite.ts'
import { createLogger } from '../src/observe/log.ts'
import { digestOf } from '../src/oci/digest.ts'
import { mediaTypes } from '../src/oci/media-type.ts'
import { parseRepositoryName, type Tag } from '../src/oci/name.ts'
import { systemClock } from '../src/runtime/clock.ts'

const count = Number(process.argv[2] ?? 1_000_000)
const key = { registry: 'docker.io', repository: parseRepositoryName('library/many') }
const tagAt = (at: number) => `v${(at * 7919) % count}` as Tag
const pageSize = 1000

function print(what: string, value: number, unit: string) {
  console.log(`${what.padEnd(44)} ${value.toFixed(value < 100 ? 2 : 0).padStart(10)} ${unit}`)
}

async function time(run: () => Promise<void>): Promise<number> {
  const start = performance.now()
  await run()
  return performance.now() - start
}

async function fill(index: Index) {
  for (let at = 0; at < count; at += 1) {
    await index.putTag(key, tagAt(at), {
      digest: digestOf(Buffer.from(String(at))),
      mediaType: mediaTypes.ociIndex,
      size: 527,
      movedAt: 1_700_000_000_000,
      checkedAt: 1_700_000_300_000,
      missingSince: undefined,
    })
    if (at % 500 === 0) await new Promise(setImmediate) // as requests would come, with air between them
  }
  await index.markComplete(key, 'tags')
  await index.flush()
}

async function read(index: Index, reads: number) {
  for (let at = 0; at < reads; at += 1) await index.tag(key, tagAt((at * 104_729) % count))
}

async function walk(index: Index): Promise<number> {
  let pages = 0
  for (let last: string | undefined; ; pages += 1) {
    const page = await index.tags(key, { last, limit: pageSize })
    if (page.answer !== 'present' || page.value.length === 0) return pages
    last = page.value.at(-1)
  }
}

const folder = await mkdtemp(join(tmpdir(), 'layover-bench-'))
const path = join(folder, 'index.sqlite')
const open = () => openSqliteIndex({ path, clock: systemClock, log: createLogger('warn') })
try {
  const writer = await open()
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const filled = await time(() => fill(writer))
  delay.disable()
  print(`writes of ${count} tags`, (count / filled) * 1000, '/s')
  print('  event loop held meanwhile, p99', delay.percentile(99) / 1e6, 'ms')
  print('  event loop held meanwhile, longest', delay.max / 1e6, 'ms')
  print('  close', await time(() => writer.close()), 'ms')
  print('  file', (await stat(path)).size / 2 ** 20, 'MiB')

  let index = writer
  const opened = await time(async () => {
    index = await open()
  })
  print('open', opened, 'ms')
  print('first read', await time(() => read(index, 1)), 'ms')
  const reads = 200_000
  print('reads, scattered', (reads / (await time(() => read(index, reads)))) * 1000, '/s')
  let pages = 0
  const walked = await time(async () => {
    pages = await walk(index)
  })
  print(`pages of ${pageSize} tags`, walked / pages, 'ms each')
  await index.close()
} finally {
  await rm(folder, { recursive: true })
}
