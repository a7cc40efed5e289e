/** A scrub that is killed goes on where it was. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open, readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { expect, test, vi } from 'vitest'
import { tempDir } from '../support/temp-dir.ts'

const main = resolve('src/main.ts')
const shards = Array.from({ length: 256 }, (_, nth) => nth.toString(16).padStart(2, '0'))
/** Sizes of files without a block on the disk; of the endless one no machine comes to the end before it is killed. */
const bytes = { usual: 2 ** 16, endless: 2 ** 40 }

test('whatever was found before a kill is told of in the end, and nothing is read twice but the folder it was in', async () => {
  await using dir = await tempDir()
  await writeFile(dir.join('upstreams.yaml'), 'upstreams: [{registry: plain.test}]\n')
  const pathOf = (shard: string) => dir.join('data/cached/sha256', shard, shard.repeat(32))
  for (const shard of shards) {
    await mkdir(dir.join('data/cached/sha256', shard), { recursive: true })
    await using file = await open(pathOf(shard), 'w')
    await file.truncate(shard === '80' ? bytes.endless : bytes.usual) // and not what its name says
  }
  const progress = async () =>
    JSON.parse(await readFile(dir.join('data/scrub.json'), 'utf8')) as {
      startedAt: number
      after?: string
      endedAt?: number
      report: { dropped: number; files: number }
    }
  const args = [main, 'scrub', '--log-level', 'silent']
  const killed = spawn(process.execPath, args, { cwd: dir.path, stdio: 'ignore' })
  const gone = once(killed, 'exit')
  await vi.waitFor(async () => expect((await progress()).after).toBeDefined(), {
    timeout: 20_000,
    interval: 1,
  })
  killed.kill('SIGKILL')
  await gone
  const before = await progress()
  expect(before.endedAt).toBeUndefined()
  await truncate(pathOf('80'), bytes.usual)
  const { status } = spawnSync(process.execPath, args, { cwd: dir.path, timeout: 60_000 })
  expect(status).toBe(0)
  const after = await progress()
  expect(after.startedAt).toBe(before.startedAt)
  expect(after.report.dropped).toBeGreaterThanOrEqual(shards.length - 1) // the kill may have come right behind a delete
  expect(after.report.files).toBeLessThanOrEqual(shards.length)
  const left = await readdir(dir.join('data/cached'), { recursive: true, withFileTypes: true })
  expect(left.filter(entry => entry.isFile())).toEqual([])
})
