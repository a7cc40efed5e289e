/** Records: written whole, created once, replaced only as they were read. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { RepositoryName, Tag } from '../../../src/oci/name.ts'
import type { StoredRecord } from '../../../src/store/records.ts'
import { openTestStore } from './store-rig.ts'

const numbered = (number: number): StoredRecord => ({ v: 1, number })
const key = { registry: 'registry.test:5000', repository: 'team/app' as RepositoryName }
const loose = { durable: false }
const durable = { durable: true }

async function openRecords() {
  const rig = await openTestStore()
  const { store } = rig
  return { ...rig, records: store.records, path: store.layout.tag(key, 'latest' as Tag) }
}

describe('records', () => {
  test.each([durable, loose])('what was created is read as it was, %o', async options => {
    await using rig = await openRecords()
    expect(await rig.records.read(rig.path)).toBeUndefined()
    expect(await rig.records.create(rig.path, numbered(1), options)).toBe(true)
    expect((await rig.records.read(rig.path))?.record).toEqual(numbered(1))
    expect(await readdir(rig.store.layout.trash)).toEqual([])
  })

  test('of fifty that create at once one does', async () => {
    await using rig = await openRecords()
    const created = await Promise.all(
      Array.from({ length: 50 }, (_, at) => rig.records.create(rig.path, numbered(at), loose)),
    )
    const winner = created.indexOf(true)
    expect(created.filter(Boolean)).toHaveLength(1)
    expect((await rig.records.read(rig.path))?.record.number).toBe(winner)
    expect(await readdir(rig.store.layout.trash)).toEqual([])
  })

  test('of fifty that replace the same version one does', async () => {
    await using rig = await openRecords()
    await rig.records.create(rig.path, numbered(0), loose)
    const version = (await rig.records.read(rig.path))?.version ?? ''
    const replaced = await Promise.all(
      Array.from({ length: 50 }, (_, at) => rig.records.replace(rig.path, numbered(at + 1), version, loose)),
    )
    expect(replaced.filter(Boolean)).toHaveLength(1)
    expect((await rig.records.read(rig.path))?.record.number).toBe(replaced.indexOf(true) + 1)
  })

  test('fifty increments under conflict lose none', async () => {
    await using rig = await openRecords()
    await rig.records.create(rig.path, numbered(0), loose)
    const increment = async (): Promise<void> => {
      const found = await rig.records.read(rig.path)
      if (!found) throw new Error('the record is gone')
      const done = await rig.records.replace(
        rig.path,
        numbered(Number(found.record.number) + 1),
        found.version,
        loose,
      )
      return done ? undefined : increment()
    }
    await Promise.all(Array.from({ length: 50 }, increment))
    expect((await rig.records.read(rig.path))?.record.number).toBe(50)
  })

  test('what is gone is not replaced', async () => {
    await using rig = await openRecords()
    await rig.records.create(rig.path, numbered(0), loose)
    const version = (await rig.records.read(rig.path))?.version ?? ''
    await rig.records.remove(rig.path)
    await rig.records.remove(rig.path)
    expect(await rig.records.replace(rig.path, numbered(1), version, loose)).toBe(false)
    expect(await rig.records.read(rig.path)).toBeUndefined()
  })

  test('saves, removes and creates of one record happen in the order called', async () => {
    await using rig = await openRecords()
    const { records, path } = rig
    const saving = records.save(path, numbered(1), loose)
    const removing = records.remove(path)
    const creating = records.create(path, numbered(2), loose)
    const again = records.create(path, numbered(3), loose)
    await Promise.all([saving, removing])
    expect([await creating, await again]).toEqual([true, false])
    expect((await records.read(path))?.record.number).toBe(2)
  })

  test('a reader never sees half a record while it is written over and over', async () => {
    await using rig = await openRecords()
    await rig.records.save(rig.path, numbered(0), loose)
    const writing = Array.from({ length: 100 }, (_, at) => rig.records.save(rig.path, numbered(at), loose))
    for (let reads = 0; reads < 100; reads += 1) expect(await rig.records.read(rig.path)).toBeDefined()
    await Promise.all(writing)
  })

  test.each([
    '',
    '{"v":1,"numb',
    'null',
    '7',
    '[]',
    '{"v":2}',
    '{}',
    '\0\0\0\0',
  ])('one that reads %j is absent, is told of, and can be saved anew', async text => {
    await using rig = await openRecords()
    await mkdir(dirname(rig.path), { recursive: true })
    await writeFile(rig.path, text)
    expect(await rig.records.read(rig.path)).toBeUndefined()
    expect(rig.warnings.join('')).toContain('not readable')
    await rig.records.save(rig.path, numbered(1), loose)
    expect((await rig.records.read(rig.path))?.record.number).toBe(1)
  })

  test('a failed write fails that caller only, and changes nothing', async () => {
    await using rig = await openRecords()
    await rig.records.save(rig.path, numbered(1), loose)
    const odd = {
      v: 1,
      toJSON: () => {
        throw new Error('no JSON')
      },
    } as unknown as StoredRecord
    await expect(rig.records.save(rig.path, odd, loose)).rejects.toThrow('no JSON')
    expect((await rig.records.read(rig.path))?.record.number).toBe(1)
    await rig.records.save(rig.path, numbered(2), loose)
    expect(await readFile(rig.path, 'utf8')).toBe('{"v":1,"number":2}')
  })

  test.each([
    durable,
    loose,
  ])('what was removed is absent, and removing it again is no error, %o', async options => {
    await using rig = await openRecords()
    await rig.records.remove(rig.path, options)
    await rig.records.create(rig.path, numbered(1), options)
    await rig.records.remove(rig.path, options)
    await rig.records.remove(rig.path, options)
    expect(await rig.records.read(rig.path)).toBeUndefined()
  })
})
