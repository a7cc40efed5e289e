/** The index's file read beside its writer: never older than what was acknowledged, and unknown where that is in doubt. */
import { copyFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'vitest'
import { type IndexReader, openIndexReader } from '../../../src/index/rows/reader.ts'
import { openSqliteIndex, type SqliteIndexOptions } from '../../../src/index/rows/sqlite.ts'
import { createLogger } from '../../../src/observe/log.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { everything, keyOf, tagged } from '../../conformance/index-samples.ts'
import { FakeClock } from '../../fake/clock.ts'
import { tempDir } from '../../support/temp-dir.ts'

const key = keyOf('library/alpine')
const local = keyOf('team/app', '_local')
const latest = 'latest' as Tag
const unknown = { answer: 'unknown' }
const absent = { answer: 'absent' }
const present = (content: string) => ({ answer: 'present', value: tagged(content) })
const never = 2 ** 30

async function place() {
  const dir = await tempDir()
  const path = dir.join('index.sqlite')
  const clock = new FakeClock()
  const log = createLogger('silent')
  const readers: IndexReader[] = []
  return {
    dir,
    path,
    clock,
    write: (more: Partial<SqliteIndexOptions> = {}) =>
      openSqliteIndex({ path, clock: systemClock, log, flushMs: never, flushRows: never, ...more }),
    read: (from = path) => {
      const reader = openIndexReader(from, { clock })
      readers.push(reader)
      return reader
    },
    [Symbol.asyncDispose]: async () => {
      for (const reader of readers) reader.close()
      await dir[Symbol.asyncDispose]()
    },
  }
}

describe('a reader of the index', () => {
  test('knows nothing, and looks at nothing, before it is told of a state', async () => {
    await using at = await place()
    const reader = at.read()
    expect(await reader.index.tag(key, latest)).toEqual(unknown)
    expect(await reader.index.childSize(key, tagged('a').digest)).toBeUndefined()
    expect(readdirSync(at.dir.path)).toEqual([])
    const index = await at.write()
    await index.putTag(key, latest, tagged('a'))
    await index.flush()
    expect(await reader.index.tag(key, latest)).toEqual(unknown)
    reader.use(index.shared)
    expect(await reader.index.tag(key, latest)).toEqual(present('a'))
    await index.close()
  })

  test('makes no file where there is none, and finds the one that comes later', async () => {
    await using at = await place()
    const reader = at.read()
    reader.use({ epoch: 'to come' })
    expect(await reader.index.tag(key, latest)).toEqual(unknown)
    expect(readdirSync(at.dir.path)).toEqual([])
    const index = await at.write()
    await index.putTag(key, latest, tagged('a'))
    await index.flush()
    expect(await reader.index.tag(key, latest)).toEqual(unknown)
    at.clock.advance(1000)
    expect(await reader.index.tag(key, latest)).toEqual(present('a'))
    await index.close()
  })

  test('sees what was flushed, and nothing that was not', async () => {
    await using at = await place()
    const index = await at.write()
    const reader = at.read()
    reader.use(index.shared)
    for (const content of ['a', 'b', 'c']) {
      await index.putTag(local, latest, tagged(content))
      expect(await reader.index.tag(local, latest)).not.toEqual(present(content))
      expect(await index.flush()).toBe(true)
      expect(await reader.index.tag(local, latest)).toEqual(present(content))
    }
    await index.markComplete(local, 'tags')
    await index.dropTag(local, latest)
    expect(await index.flush()).toBe(true)
    expect(await reader.index.tag(local, latest)).toEqual(absent)
    expect(await reader.index.tags(local, everything)).toEqual({ answer: 'present', value: [] })
    await index.close()
  })

  test('goes over to a file that was begun anew when it is told of it, and finds nothing of the old one', async () => {
    await using at = await place()
    const index = await at.write()
    await index.putTag(local, latest, tagged('old'))
    await index.markComplete(local, 'tags')
    await index.flush()
    const before = index.shared
    const reader = at.read()
    reader.use(before)
    expect(await reader.index.tag(local, latest)).toEqual(present('old'))
    rmSync(at.path)
    await index.putTag(local, latest, tagged('lost'))
    expect(await index.flush()).toBe(false)
    expect(index.shared).toBeDefined()
    expect(index.shared).not.toEqual(before)
    reader.use(index.shared)
    expect(await reader.index.tag(local, latest)).toEqual(unknown)
    expect(await reader.index.tags(local, everything)).toEqual(unknown)
    await index.putTag(local, latest, tagged('new'))
    expect(await index.flush()).toBe(true)
    expect(await reader.index.tag(local, latest)).toEqual(present('new'))
    await index.close()
  })

  test('believes nothing of a local repository that a crash left behind, and no mark', async () => {
    await using at = await place()
    const index = await at.write()
    for (const of of [key, local]) {
      await index.putTag(of, latest, tagged('a'))
      await index.markComplete(of, 'tags')
    }
    await index.flush()
    const path = at.dir.join('crashed.sqlite')
    for (const suffix of ['', '-wal']) copyFileSync(at.path + suffix, path + suffix)
    await index.close()
    const after = await at.write({ path })
    const reader = at.read(path)
    reader.use(after.shared)
    expect(await reader.index.tag(local, latest)).toEqual(unknown)
    expect(await reader.index.tag(key, latest)).toEqual(present('a'))
    expect(await reader.index.tag(key, 'other' as Tag)).toEqual(unknown)
    await after.close()
  })

  test('goes on after the writer was closed and opened again, while its own file stayed open', async () => {
    await using at = await place()
    const first = await at.write()
    await first.putTag(local, latest, tagged('a'))
    await first.flush()
    const reader = at.read()
    reader.use(first.shared)
    expect(await reader.index.tag(local, latest)).toEqual(present('a'))
    await first.close()
    const second = await at.write()
    reader.use(second.shared)
    await second.putTag(local, latest, tagged('b'))
    expect(await second.flush()).toBe(true)
    expect(await reader.index.tag(local, latest)).toEqual(present('b'))
    await second.close()
  })

  test('knows nothing any more when it is told so, or was closed', async () => {
    await using at = await place()
    const index = await at.write()
    await index.putTag(key, latest, tagged('a'))
    await index.flush()
    const reader = at.read()
    reader.use(index.shared)
    expect(await reader.index.tag(key, latest)).toEqual(present('a'))
    reader.use(undefined)
    expect(await reader.index.tag(key, latest)).toEqual(unknown)
    reader.use(index.shared)
    expect(await reader.index.tag(key, latest)).toEqual(present('a'))
    reader.close()
    reader.close()
    expect(await reader.index.tag(key, latest)).toEqual(unknown)
    await index.close()
  })

  test('waits for no lock, and is back when it is free', async () => {
    await using at = await place()
    const index = await at.write()
    await index.putTag(key, latest, tagged('a'))
    await index.close()
    const state = { epoch: index.epoch }
    const reader = at.read()
    reader.use(state)
    expect(await reader.index.tag(key, latest)).toEqual(present('a'))
    reader.use(undefined)
    const other = new DatabaseSync(at.path)
    other.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE held (a)')
    reader.use(state)
    expect(await reader.index.tag(key, latest)).toEqual(unknown)
    other.close()
    at.clock.advance(1000)
    expect(await reader.index.tag(key, latest)).toEqual(present('a'))
  })

  for (const [how, damage] of [
    ['is no database', (path: string) => writeFileSync(path, 'no database, '.repeat(1000))],
    ['is of another schema', (path: string) => alter(path, 'PRAGMA user_version = 99')],
    ['is of someone else', (path: string) => alter(path, 'DROP TABLE entry')],
  ] as const) {
    test(`finds a file that ${how} unknown, looks again in a second, and never throws`, async () => {
      await using at = await place()
      const index = await at.write()
      await index.putTag(key, latest, tagged('a'))
      await index.close()
      const whole = at.dir.join('whole')
      copyFileSync(at.path, whole)
      damage(at.path)
      const reader = at.read()
      reader.use({ epoch: index.epoch })
      for (let times = 0; times < 3; times += 1) expect(await reader.index.tag(key, latest)).toEqual(unknown)
      copyFileSync(whole, at.path)
      expect(await reader.index.tag(key, latest)).toEqual(unknown)
      at.clock.advance(1000)
      expect(await reader.index.tag(key, latest)).toEqual(present('a'))
    })
  }

  test('finds a damaged row unknown, and the others as they are', async () => {
    await using at = await place()
    const index = await at.write()
    await index.putTag(key, latest, tagged('a'))
    await index.putTag(key, 'other' as Tag, tagged('b'))
    await index.flush()
    const reader = at.read()
    reader.use(index.shared)
    alter(at.path, `UPDATE entry SET value = '{"dig' WHERE scope LIKE 'tags %' AND name = 'latest'`)
    expect(await reader.index.tag(key, latest)).toEqual(unknown)
    expect(await reader.index.tag(key, 'other' as Tag)).toEqual(present('b'))
    await index.close()
  })

  test('keeps no moment for longer than a read: the writer can begin its journal anew', async () => {
    await using at = await place()
    const index = await at.write()
    const reader = at.read()
    reader.use(index.shared)
    for (let round = 0; round < 40; round += 1) {
      for (let n = 0; n < 250; n += 1) await index.putTag(key, `v${n}` as Tag, tagged(`${round} ${n}`))
      await index.markComplete(key, 'tags')
      await index.flush()
      expect(await reader.index.tag(key, 'none' as Tag)).toEqual(absent)
    }
    expect(statSync(`${at.path}-wal`).size).toBeLessThan(16 * 2 ** 20)
    await index.close()
  })
})

describe('what an index says of its file', () => {
  test('nothing while it works in memory: no flush puts anything where others find it', async () => {
    await using at = await place()
    const index = await at.write({ path: '/proc/none/index.sqlite' })
    await index.putTag(key, latest, tagged('a'))
    expect(await index.flush()).toBe(false)
    expect(index.shared).toBeUndefined()
    await index.close()
  })

  test('nothing while another process keeps it from writing, and after the close', async () => {
    await using at = await place()
    const index = await at.write()
    const state = index.shared
    expect(state).toEqual({ epoch: index.epoch })
    const other = new DatabaseSync(at.path)
    other.exec('BEGIN IMMEDIATE')
    await index.putTag(key, latest, tagged('a'))
    expect(await index.flush()).toBe(false)
    expect(index.shared).toBeUndefined()
    other.close()
    expect(await index.flush()).toBe(true)
    expect(index.shared).toEqual(state)
    await index.close()
    expect(index.shared).toBeUndefined()
    expect(await index.flush()).toBe(false)
  })

  test('flushes that are called at one time share a commit', async () => {
    await using at = await place()
    const index = await at.write()
    const flushed: Promise<boolean>[] = []
    for (let n = 0; n < 200; n += 1) {
      await index.putTag(key, `v${n}` as Tag, tagged(String(n)))
      flushed.push(index.flush())
    }
    expect(new Set(await Promise.all(flushed))).toEqual(new Set([true]))
    const pageAndHeader = 4096 + 24
    expect(statSync(`${at.path}-wal`).size / pageAndHeader).toBeLessThan(200)
    await index.close()
  })
})

function alter(path: string, sql: string) {
  using db = new DatabaseSync(path)
  db.exec(sql)
}
