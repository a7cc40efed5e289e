/** The SQLite index under bad files, bad disks, locks and crashes: it forgets, but never throws and never says a wrong *absent*. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { array, assert, asyncProperty, nat, record } from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Index } from '../../../src/index/index.ts'
import { openSqliteIndex, type SqliteIndexOptions } from '../../../src/index/rows/sqlite.ts'
import { createLogger } from '../../../src/observe/log.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { digest, keyOf, manifestEntry, referrer, tagged } from '../../conformance/index-samples.ts'
import { FakeClock } from '../../fake/clock.ts'
import { tempDir } from '../../support/temp-dir.ts'

const key = keyOf('library/alpine')
const tag = (text: string | number) => String(text) as Tag
const unknown = { answer: 'unknown' }
const absent = { answer: 'absent' }
const present = (content: string | number) => ({ answer: 'present', value: tagged(String(content)) })

/** An index in a folder of its own, and what it logged. */
async function place(options: Partial<SqliteIndexOptions> = {}) {
  const dir = await tempDir()
  const path = dir.join('index.sqlite')
  const lines: string[] = []
  const log = createLogger('warn', { write: line => lines.push(line) })
  const open = (more: Partial<SqliteIndexOptions> = {}) =>
    openSqliteIndex({ path, clock: systemClock, log, ...options, ...more })
  return { dir, path, lines, open, [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() }
}

async function fill(index: Index, count: number) {
  for (let at = 0; at < count; at += 1) await index.putTag(key, tag(at), tagged(String(at)))
  await index.markComplete(key, 'tags')
}

/** Nothing is known of what was, and new things are learnt and kept as ever. */
async function expectFresh(index: Index, reopen: () => Promise<Index>) {
  expect(await index.tag(key, tag(0))).toEqual(unknown)
  expect(await index.tags(key, { last: undefined, limit: 10 })).toEqual(unknown)
  await index.putTag(key, tag('new'), tagged('new'))
  expect(await index.tag(key, tag('new'))).toEqual(present('new'))
  await index.close()
  const again = await reopen()
  expect(await again.tag(key, tag('new'))).toEqual(present('new'))
  expect(await again.tag(key, tag(0))).toEqual(unknown)
  await again.close()
}

/** What a crash at this moment would leave. */
function copyAsCrashed(from: string, to: string) {
  for (const suffix of ['', '-wal']) {
    if (existsSync(from + suffix)) copyFileSync(from + suffix, to + suffix)
  }
}

describe('a bad file in the place of the index', () => {
  const badly: Record<string, (path: string) => void> = {
    'is no database': path => writeFileSync(path, 'this is no database, '.repeat(1000)),
    'is empty but for its journal': path => {
      truncateSync(path)
      writeFileSync(`${path}-wal`, 'garbage'.repeat(1000))
    },
    'was cut to half of its header': path => truncateSync(path, 50),
    'was cut to its header': path => truncateSync(path, 100),
    'has a garbled first page': path => overwrite(path, 100, Buffer.alloc(3996, 0xa5)),
    'is of another schema': path => {
      using db = new DatabaseSync(path)
      db.exec('PRAGMA user_version = 99')
    },
    'is a database of someone else': path => {
      rmSync(path)
      using db = new DatabaseSync(path)
      db.exec('CREATE TABLE entry (a)')
    },
  }

  for (const [how, damage] of Object.entries(badly)) {
    test(`that ${how} is begun again, with a line in the log`, async () => {
      await using at = await place()
      const first = await at.open()
      await fill(first, 100)
      await first.close()
      damage(at.path)
      const index = await at.open()
      expect(index.up).toBe(true)
      await expectFresh(index, at.open)
      expect(at.lines).toHaveLength(how.startsWith('is empty') ? 0 : 1)
    })
  }

  test('that is a folder moves aside with what is in it', async () => {
    await using at = await place()
    mkdirSync(at.path)
    writeFileSync(`${at.path}/note`, 'keep me')
    const index = await at.open()
    expect(index.up).toBe(true)
    expect(readFileSync(`${at.path}.moved-aside/note`, 'utf8')).toBe('keep me')
    await expectFresh(index, at.open)
  })

  test('whose second half is gone answers unknown, then learns anew', async () => {
    await using at = await place()
    const first = await at.open()
    await fill(first, 2000)
    await first.close()
    truncateSync(at.path, 4096 * Math.floor(statSync(at.path).size / 8192))
    const index = await at.open()
    for (let n = 0; n < 2000; n += 1) {
      expect([unknown, present(n)]).toContainEqual(await index.tag(key, tag(n)))
    }
    await expectFresh(index, at.open)
  })

  test('with any bytes overwritten never makes a call fail', async () => {
    await using at = await place({ retryMs: 0 })
    const first = await at.open()
    await fill(first, 300)
    await useAll(first)
    await first.close()
    const whole = readFileSync(at.path)
    const damages = array(record({ offset: nat(whole.length), length: nat(5000), byte: nat(255) }), {
      minLength: 1,
      maxLength: 4,
    })
    await assert(
      asyncProperty(damages, async pieces => {
        writeFileSync(at.path, whole)
        for (const { offset, length, byte } of pieces) overwrite(at.path, offset, Buffer.alloc(length, byte))
        const index = await at.open()
        await useAll(index)
        await index.close()
      }),
      { numRuns: 100 },
    )
  })
})

describe('a file that goes bad while it is open', () => {
  test('answers unknown where it was garbled, and is begun again', async () => {
    await using at = await place()
    const first = await at.open()
    await fill(first, 5000)
    await first.close()
    const index = await at.open()
    overwrite(at.path, 4096, Buffer.alloc(statSync(at.path).size - 4096, 0x5a))
    expect(await index.tag(key, tag(4321))).toEqual(unknown)
    expect(index.up).toBe(true)
    await expectFresh(index, at.open)
    expect(at.lines).toHaveLength(1)
  })

  for (const how of ['deleted', 'replaced'] as const) {
    test(`is begun again after it was ${how}: its marks go with its rows`, async () => {
      await using at = await place()
      const index = await at.open()
      await fill(index, 10)
      await index.flush()
      expect(await index.tag(key, tag('other'))).toEqual(absent)
      if (how === 'replaced') renameSync(at.path, at.dir.join('away'))
      else rmSync(at.path)
      if (how === 'replaced') writeFileSync(at.path, 'something else')
      await index.putTag(key, tag('lost'), tagged('lost'))
      await index.flush()
      expect(existsSync(at.path)).toBe(true)
      await expectFresh(index, at.open)
    })
  }

  test('a damaged row is unknown', async () => {
    await using at = await place()
    const index = await at.open()
    await fill(index, 1)
    await index.putListing(key, 'tags', '', { body: 'x', fetchedAt: 1 })
    await index.flush()
    using other = new DatabaseSync(at.path)
    other.exec("UPDATE entry SET value = '{\"digest\":' WHERE scope NOT LIKE 'complete%'")
    expect(await index.tag(key, tag(0))).toEqual(unknown)
    expect(await index.listing(key, 'tags', '')).toBeUndefined()
    await index.close()
  })

  test('a disk that fails twice in a while is left alone, and tried again later', async () => {
    const clock = new FakeClock()
    await using at = await place({ clock })
    const index = await at.open()
    for (const up of [true, false]) {
      rmSync(at.path, { force: true })
      await index.putTag(key, tag('a'), tagged('a'))
      await index.flush()
      expect(index.up).toBe(up)
    }
    await index.putTag(key, tag('a'), tagged('a'))
    expect(await index.tag(key, tag('a'))).toEqual(present('a'))
    clock.advance(61_000)
    await index.flush()
    expect(index.up).toBe(true)
    await expectFresh(index, at.open)
  })
})

describe('without a usable place', () => {
  for (const path of ['/proc/self/index.sqlite', '/dev/null/index.sqlite', '/nowhere/at/all/index.sqlite']) {
    test(`${path}: the index works in memory and says so once`, async () => {
      await using at = await place()
      const index = await at.open({ path })
      expect(index.up).toBe(false)
      await fill(index, 1000)
      await index.flush()
      expect(await index.tag(key, tag(999))).toEqual(present(999))
      expect(await index.tag(key, tag('none'))).toEqual(absent)
      await index.close()
      expect(at.lines).toHaveLength(1)
      expect(at.lines[0]).toContain('working in memory')
    })
  }

  test('a place that comes later is used from then on', async () => {
    const clock = new FakeClock()
    await using at = await place({ clock })
    const path = at.dir.join('later', 'index.sqlite')
    const index = await at.open({ path })
    await fill(index, 5)
    expect(index.up).toBe(false)
    mkdirSync(at.dir.join('later'))
    clock.advance(61_000)
    await index.flush()
    expect(index.up).toBe(true)
    await expectFresh(index, () => at.open({ path }))
  })

  test('a disk that takes no more bytes never makes a call fail', async () => {
    await using at = await place()
    const child = writer(at.path, 20_000, ['bash', '-c', 'ulimit -f 600; exec "$@"', 'limited'])
    const lines: string[] = []
    for await (const line of createInterface(child.stdout)) lines.push(line)
    expect(child.exitCode ?? (await once(child, 'exit'))[0]).toBe(0)
    expect(lines.at(-1)).toBe('19950 false')
  })
})

describe('a file that another process holds', () => {
  const hold = (path: string, kind: 'IMMEDIATE' | 'EXCLUSIVE') => {
    const other = new DatabaseSync(path)
    if (kind === 'EXCLUSIVE') other.exec('PRAGMA locking_mode = EXCLUSIVE')
    other.exec(`BEGIN ${kind}; CREATE TABLE held (a)`)
    return other
  }

  test('is read meanwhile, and written when it is free', async () => {
    await using at = await place()
    const index = await at.open()
    await fill(index, 10)
    await index.flush()
    const other = hold(at.path, 'IMMEDIATE')
    await index.putTag(key, tag(3), tagged('moved'))
    const flushed = index.flush()
    expect(await index.tag(key, tag(3))).toEqual(present('moved'))
    expect(await index.tag(key, tag(4))).toEqual(present(4))
    other.close()
    await flushed
    copyAsCrashed(at.path, at.dir.join('copy'))
    await index.close()
    const copy = await at.open({ path: at.dir.join('copy') })
    expect(await copy.tag(key, tag(3))).toEqual(present('moved'))
    await copy.close()
  })

  test('is given up when more waits than may: all is unknown then, and nothing throws', async () => {
    await using at = await place({ flushRows: 2, flushMs: 2 ** 30 })
    const index = await at.open()
    await fill(index, 10)
    await index.flush()
    using other = hold(at.path, 'IMMEDIATE')
    for (let n = 0; n < 200; n += 1) await index.putTag(key, tag(`w${n}`), tagged('w'))
    expect(await index.tag(key, tag(3))).toEqual(unknown)
    expect(await index.tag(key, tag('none'))).toEqual(unknown)
    expect(index.up).toBe(true)
    expect(other.isOpen).toBe(true)
    await index.close()
  })

  test('at the start is left alone; the index works in memory', async () => {
    await using at = await place()
    const first = await at.open()
    await fill(first, 10)
    await first.close()
    const other = hold(at.path, 'EXCLUSIVE')
    const index = await at.open()
    expect(index.up).toBe(false)
    await index.putTag(key, tag('a'), tagged('a'))
    expect(await index.tag(key, tag('a'))).toEqual(present('a'))
    await index.close()
    other.close()
    const again = await at.open()
    expect(await again.tag(key, tag(3))).toEqual(present(3))
    await again.close()
  })

  test('at the close loses what waited, and the marks with it', async () => {
    await using at = await place({ flushMs: 2 ** 30 })
    const index = await at.open()
    await fill(index, 10)
    await index.flush()
    const other = hold(at.path, 'IMMEDIATE')
    await index.putTag(key, tag('late'), tagged('late'))
    await index.close()
    other.close()
    const again = await at.open()
    expect(await again.tag(key, tag(3))).toEqual(present(3))
    expect(await again.tag(key, tag('late'))).toEqual(unknown)
    await again.close()
  })
})

describe('a crash', () => {
  test('keeps what was flushed and voids the marks, for what came after them is lost', async () => {
    await using at = await place({ flushMs: 2 ** 30 })
    const index = await at.open()
    await fill(index, 10)
    await index.flush()
    await index.putTag(key, tag('late'), tagged('late'))
    copyAsCrashed(at.path, at.dir.join('crashed'))
    await index.close()
    const crashed = await at.open({ path: at.dir.join('crashed') })
    expect(await crashed.tag(key, tag(3))).toEqual(present(3))
    expect(await crashed.tag(key, tag('late'))).toEqual(unknown)
    expect(await crashed.tags(key, { last: undefined, limit: 9 })).toEqual(unknown)
    await crashed.markComplete(key, 'tags')
    await crashed.close()
    const after = await at.open({ path: at.dir.join('crashed') })
    expect(await after.tag(key, tag('late'))).toEqual(absent)
    await after.close()
  })

  test('voids marks also when nothing was written since a clean close', async () => {
    await using at = await place({ flushMs: 2 ** 30 })
    const first = await at.open()
    await fill(first, 3)
    await first.close()
    const index = await at.open()
    expect(await index.tag(key, tag('other'))).toEqual(absent)
    copyAsCrashed(at.path, at.dir.join('crashed'))
    await index.close()
    const crashed = await at.open({ path: at.dir.join('crashed') })
    expect(await crashed.tag(key, tag('other'))).toEqual(unknown)
    await crashed.close()
  })

  test('at any moment leaves the writes up to some moment, none missing in the middle', async () => {
    await using at = await place()
    for (const killAfter of [1, 20, 60]) {
      const child = writer(at.path, 1e9)
      const ended = once(child, 'exit') // its output ends before its lock on the file does
      let seen = 0
      for await (const _ of createInterface(child.stdout)) {
        seen += 1
        if (seen === killAfter) child.kill('SIGKILL')
      }
      await ended
      const index = await at.open()
      const name = (n: number) => tag(String(n).padStart(8, '0'))
      let next = 0
      while ((await index.tag(keyOf('a'), name(next))).answer === 'present') next += 1
      expect(next).toBeGreaterThan(50 * (killAfter - 1) - 7)
      for (let n = next; n < next + 1000; n += 1) {
        expect(await index.tag(keyOf('a'), name(n))).toEqual(unknown)
      }
      await index.close()
      rmSync(at.path)
    }
  })
})

function writer(path: string, count: number, wrapper: readonly string[] = []) {
  const script = fileURLToPath(new URL('writer.ts', import.meta.url))
  const [command, ...args] = [...wrapper, process.execPath, script, path, String(count)] as const
  return spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
}

function overwrite(path: string, offset: number, bytes: Buffer) {
  const file = openSync(path, 'r+')
  writeSync(file, bytes, 0, bytes.length, offset)
  closeSync(file)
}

/** Each method once or more; none may reject. */
async function useAll(index: Index) {
  const subject = digest('subject')
  for (let n = 0; n < 300; n += 37) await index.tag(key, tag(n))
  await index.tags(key, { last: '1', limit: 100 })
  await index.manifest(key, digest('m'))
  await index.blob(key, digest('b'))
  await index.referrers(key, subject, { last: undefined, limit: 9 })
  await index.manifests(key, { last: undefined, limit: 9 })
  await index.tagsOf(key, digest('m'))
  await index.parentsOf(key, digest('c'))
  await index.holdersOf(digest('b'), 9)
  await index.registries()
  await index.repositories('docker.io', { last: undefined, limit: 9 })
  await index.childSize(key, digest('c'))
  await index.publicBlob('docker.io', digest('b'))
  await index.listing(key, 'tags', '')
  await index.putTag(key, tag('a'), tagged('a'))
  await index.putManifest(key, digest('m'), manifestEntry())
  await index.putBlob(key, digest('b'), { size: 1, isPublic: true })
  await index.putReferrer(key, subject, referrer('r'))
  await index.putChildren(key, digest('m'), [referrer('c')])
  await index.putListing(key, 'tags', '', { body: 'x', fetchedAt: 1 })
  await index.markComplete(key, 'referrers')
  await index.markComplete({ ...key, registry: '_local' }, 'tags')
  await index.markRepositoriesComplete()
  await index.markIncomplete(key, { referrersOf: subject })
  await index.flush()
  await index.dropChildren(key, digest('m'), [referrer('c')])
  await index.dropRepository(key)
  await index.dropTag(key, tag(7))
  await index.dropReferrer(key, subject, digest('r'))
  await index.flush()
}
