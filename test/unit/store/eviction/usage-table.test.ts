import { mkdir, writeFile } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import { expect, test, vi } from 'vitest'
import { type Algorithm, digestOf } from '../../../../src/oci/digest.ts'
import { arrived } from '../../../../src/store/eviction/policy.ts'
import { type UsageRow, UsageTable } from '../../../../src/store/eviction/usage-table.ts'
import { tempDir } from '../../../support/temp-dir.ts'

const now = Date.UTC(2026, 0, 1)

interface Given {
  owner?: string
  sizeBytes?: number
  at?: number
  algorithm?: Algorithm
}

function row(
  name: string,
  { owner = 'docker.io', sizeBytes = 2 ** 20, at = now, algorithm = 'sha256' }: Given = {},
): UsageRow {
  return { digest: digestOf(Buffer.from(name), algorithm), owner, ...arrived(sizeBytes, at) }
}

function put(table: UsageTable, rows: readonly UsageRow[]): void {
  table.atOnce(() => {
    for (const each of rows) table.put(each)
  })
}

function edited(path: string, sql: string): void {
  const db = new DatabaseSync(path)
  db.exec(sql)
  db.close()
}

test('rows come in the order in which they go, page by page, also of one owner alone, and may vanish meanwhile', async () => {
  await using dir = await tempDir()
  const table = UsageTable.open(dir.join('usage.sqlite'))
  const rows = Array.from({ length: 200 }, (_, at) =>
    row(`${at}`, { owner: at % 2 === 0 ? 'docker.io' : 'ghcr.io', at: now + ((at * 37) % 200) * 1_000 }),
  )
  put(table, rows)
  const inOrder = rows.toSorted((a, b) => a.usedAt - b.usedAt)
  const seen = []
  for (const page of table.ranked()) {
    seen.push(...page)
    for (const [at, each] of page.entries()) if (at % 3 === 0) table.remove(each.digest)
  }
  expect(seen).toEqual(inOrder)
  expect([...table.ranked({ owner: 'ghcr.io' })].flat().every(({ owner }) => owner === 'ghcr.io')).toBe(true)
  expect([...table.ranked({ owner: 'nobody' })].flat()).toEqual([])
  table.close(true)
})

test('both algorithms have rows, found again by folder', async () => {
  await using dir = await tempDir()
  const table = UsageTable.open(dir.join('usage.sqlite'))
  const rows = (['sha256', 'sha512'] as const).flatMap(algorithm =>
    Array.from({ length: 600 }, (_, at) => row(`${at}`, { algorithm })),
  )
  put(table, rows)
  for (const prefix of ['00', '7f', '80', 'ff'])
    for (const algorithm of ['sha256', 'sha512'] as const)
      expect(table.shard(algorithm, prefix)).toEqual(
        rows
          .map(({ digest }) => digest)
          .filter(digest => digest.startsWith(`${algorithm}:${prefix}`))
          .toSorted(),
      )
  expect(table.find(rows.at(700)?.digest ?? row('').digest)).toEqual(rows[700])
  table.close(true)
})

test('totals follow each change', async () => {
  await using dir = await tempDir()
  const path = dir.join('usage.sqlite')
  const table = UsageTable.open(path)
  table.put(row('a', { sizeBytes: 10 }))
  table.put(row('b', { sizeBytes: 20 }))
  table.put(row('c', { sizeBytes: 5, owner: 'ghcr.io' }))
  table.put(row('b', { sizeBytes: 30, owner: 'ghcr.io' }))
  table.remove(row('a').digest)
  table.remove(row('never there').digest)
  const totals = new Map([
    ['docker.io', { bytes: 0, blobs: 0 }],
    ['ghcr.io', { bytes: 35, blobs: 2 }],
  ])
  expect(table.totals()).toEqual(totals)
  table.close(true)
  const again = UsageTable.open(path)
  expect([again.isComplete, again.totals()]).toEqual([true, totals])
  again.close(false)
})

test('a close that found not everything counted, and none at all, leave the rows but not the trust in them', async () => {
  await using dir = await tempDir()
  const path = dir.join('usage.sqlite')
  const table = UsageTable.open(path)
  expect(table.isComplete).toBe(false)
  table.put(row('a'))
  table.close(false)
  const again = UsageTable.open(path)
  expect([again.isComplete, again.find(row('a').digest)]).toEqual([false, row('a')])
  again.close(true)
})

test.each([
  ['that a stop of the machine may have torn', "UPDATE life SET clean = 0, boot = 'another'"],
  ['of a newer program', 'PRAGMA user_version = 2'],
  ['of someone else', 'DROP TABLE blob'],
])('a table %s is made anew, and that is told', async (_, sql) => {
  await using dir = await tempDir()
  const path = dir.join('usage.sqlite')
  const table = UsageTable.open(path)
  table.put(row('a'))
  table.close(true)
  edited(path, sql)
  const lost = vi.fn()
  const again = UsageTable.open(path, lost)
  expect(lost).toHaveBeenCalledOnce()
  expect([again.isComplete, again.find(row('a').digest)]).toEqual([false, undefined])
  again.put(row('b'))
  again.close(true)
})

test('a file that is no table is replaced, and where there can be none it is in memory', async () => {
  await using dir = await tempDir()
  await writeFile(dir.join('text'), 'no table, and long enough to be taken for the head of one. '.repeat(100))
  await mkdir(dir.join('folder', 'full'), { recursive: true })
  for (const name of ['text', 'folder', 'absent/usage.sqlite']) {
    const table = UsageTable.open(dir.join(name))
    table.put(row('a'))
    expect(table.totals().get('docker.io')?.blobs).toBe(1)
    table.close(true)
  }
})
