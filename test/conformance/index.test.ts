/** Runs the index's conformance suite and random histories against every implementation. */
import { copyFile } from 'node:fs/promises'
import type { Index } from '../../src/index/index.ts'
import { createMemoryIndex } from '../../src/index/rows/memory.ts'
import type { ExpendableLimits } from '../../src/index/rows/rows.ts'
import { openSqliteIndex } from '../../src/index/rows/sqlite.ts'
import { createLogger } from '../../src/observe/log.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { tempDir } from '../support/temp-dir.ts'
import { type IndexPlace, indexConformance } from './index.ts'
import { indexHistories } from './index-history.ts'
import { readBeside } from './index-reader.ts'

const never = 2 ** 30

type Wrap = (index: Index, path: string) => Index

async function inFolder(
  batch: { flushRows: number; flushMs: number },
  wrap: Wrap = index => index,
): Promise<IndexPlace> {
  const folder = await tempDir()
  const options = {
    path: folder.join('index.sqlite'),
    clock: systemClock,
    log: createLogger('silent'),
    ...batch,
  }
  return {
    lasts: true,
    open: async (expendable?: ExpendableLimits) =>
      wrap(await openSqliteIndex(expendable ? { ...options, expendable } : options), options.path),
    openCrashed: async () => {
      const path = folder.join('crashed.sqlite')
      for (const suffix of ['', '-wal']) await copyFile(options.path + suffix, path + suffix)
      return wrap(await openSqliteIndex({ ...options, path }), path)
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

async function inMemory(): Promise<IndexPlace> {
  return {
    lasts: false,
    open: async limits => createMemoryIndex(limits),
    openCrashed: async () => createMemoryIndex(),
    [Symbol.asyncDispose]: async () => {},
  }
}

const places: readonly (readonly [string, () => Promise<IndexPlace>])[] = [
  ['memory', inMemory],
  ['SQLite, each change written at once', () => inFolder({ flushRows: 1, flushMs: never })],
  ['SQLite, in batches of three', () => inFolder({ flushRows: 3, flushMs: never })],
  ['SQLite, nothing written before a flush', () => inFolder({ flushRows: never, flushMs: never })],
  ['SQLite, without a file', withoutFile],
  ['SQLite, read beside its writer', () => inFolder({ flushRows: never, flushMs: never }, readBeside)],
]

async function withoutFile(): Promise<IndexPlace> {
  const options = { path: '/proc/none/index.sqlite', clock: systemClock, log: createLogger('silent') }
  return {
    lasts: false,
    open: expendable => openSqliteIndex(expendable ? { ...options, expendable } : options),
    openCrashed: () => openSqliteIndex(options),
    [Symbol.asyncDispose]: async () => {},
  }
}

for (const [name, createPlace] of places) {
  indexConformance(name, createPlace)
  indexHistories(name, createPlace)
}
