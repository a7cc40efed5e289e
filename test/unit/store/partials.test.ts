/** Blobs on their way into the store, and what is left of them after a stop. */
import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { dashed, digestOf } from '../../../src/oci/digest.ts'
import { openTestStore } from './store-rig.ts'

const content = Buffer.from('the content of a blob, in some bytes')
const digest = digestOf(content)
const hour = 3_600_000

describe('partial', () => {
  test('appended and committed, it is the blob', async () => {
    await using rig = await openTestStore()
    const { store } = rig
    const partial = await store.begin(digest)
    await partial.append([content.subarray(0, 5), Buffer.alloc(0), content.subarray(5, 9)])
    expect(partial.written).toBe(9)
    await partial.append([content.subarray(9)])
    await store.commit(partial)
    expect(await store.read(digest)).toEqual(content)
    expect(await readdir(store.layout.partials)).toEqual([])
  })

  test('of no bytes is committed too', async () => {
    await using rig = await openTestStore()
    const empty = digestOf(Buffer.alloc(0))
    await rig.store.commit(await rig.store.begin(empty))
    expect(await rig.store.size(empty)).toBe(0)
  })

  test('a reader may hold its file beyond the commit', async () => {
    await using rig = await openTestStore()
    const partial = await rig.store.begin(digest)
    await partial.append([content])
    const file = partial.file.retain()
    await rig.store.commit(partial)
    const target = Buffer.alloc(content.length)
    expect(await file.read(target, 0)).toBe(content.length)
    expect(target).toEqual(content)
    file.release()
  })

  test('more chunks than one system call takes are all written', async () => {
    await using rig = await openTestStore()
    const partial = await rig.store.begin(digest)
    const chunks = Array.from({ length: 3_000 }, (_, at) => Buffer.from(`${at},`))
    await partial.append(chunks)
    const whole = Buffer.concat(chunks)
    expect(await partial.file.size()).toBe(whole.length)
    const target = Buffer.alloc(whole.length)
    await partial.file.read(target, 0)
    expect(target.equals(whole)).toBe(true)
    await partial.discard()
  })

  test('discarded, it leaves nothing', async () => {
    await using rig = await openTestStore()
    const partial = await rig.store.begin(digest)
    await partial.append([content])
    await partial.discard()
    expect(await readdir(rig.store.layout.partials)).toEqual([])
  })

  test('kept, it is gone on with, and what upstream said of it is known', async () => {
    await using rig = await openTestStore()
    const first = await rig.store.begin(digest)
    first.note = { total: content.length, etag: '"x"' }
    await first.append([content.subarray(0, 10)])
    await first.keep()
    const second = await rig.store.begin(digest)
    expect(second.written).toBe(10)
    expect(second.note).toEqual({ total: content.length, etag: '"x"' })
    await second.append([content.subarray(10)])
    await rig.store.commit(second)
    expect(await rig.store.read(digest)).toEqual(content)
    expect(await readdir(rig.store.layout.partials)).toEqual([])
  })

  test('that another flight is writing is not taken from it', async () => {
    await using rig = await openTestStore()
    const first = await rig.store.begin(digest)
    await first.append([content])
    const second = await rig.store.begin(digest)
    expect(second.written).toBe(0)
    await second.discard()
    await rig.store.commit(first)
    expect(await rig.store.read(digest)).toEqual(content)
  })
})

/** A partial as a killed process leaves it. */
async function leave(
  folder: string,
  { flight, bytes, note }: { flight: string; bytes: Buffer; note?: string },
) {
  await writeFile(`${folder}/${dashed(digest)}.${flight}`, bytes)
  if (note !== undefined) await writeFile(`${folder}/${dashed(digest)}.${flight}.note`, note)
}

describe('partials left behind', () => {
  test('the one with the most synced bytes is cut to them and gone on with, the others are deleted', async () => {
    await using rig = await openTestStore()
    const folder = rig.store.layout.partials
    await leave(folder, { flight: 'a', bytes: content, note: '{"offset":4}' })
    await leave(folder, { flight: 'b', bytes: content, note: '{"offset":20}' })
    await leave(folder, { flight: 'c', bytes: content })
    const partial = await rig.store.begin(digest)
    expect(partial.written).toBe(20)
    expect(await partial.file.size()).toBe(20)
    expect(await readdir(folder)).toHaveLength(2)
    await partial.discard()
    expect(await readdir(folder)).toEqual([])
  })

  test.each([
    ['torn', '{"offs'],
    ['empty', ''],
    ['no object', '7'],
    ['null', 'null'],
    ['without an offset', '{"total":5}'],
    ['of a negative offset', '{"offset":-1}'],
    ['of a broken offset', '{"offset":1.5}'],
    ['of an offset in words', '{"offset":"20"}'],
    ['of an offset beyond the file', '{"offset":1000}'],
    ['of nothing', '{"offset":0}'],
    ['missing', undefined],
  ])('one whose note is %s is begun anew', async (_, note) => {
    await using rig = await openTestStore()
    await leave(rig.store.layout.partials, {
      flight: 'a',
      bytes: content,
      ...(note === undefined ? {} : { note }),
    })
    const partial = await rig.store.begin(digest)
    expect(partial.written).toBe(0)
    expect(await partial.file.size()).toBe(0)
    await partial.discard()
    expect(await readdir(rig.store.layout.partials)).toEqual([])
  })

  test('a note without its file does no harm', async () => {
    await using rig = await openTestStore()
    await writeFile(`${rig.store.layout.partials}/${dashed(digest)}.a.note`, '{"offset":4}')
    const partial = await rig.store.begin(digest)
    expect(partial.written).toBe(0)
    await partial.discard()
  })

  test('those of another digest are left alone', async () => {
    await using rig = await openTestStore()
    const other = digestOf(Buffer.from('other'))
    const kept = await rig.store.begin(other)
    await kept.append([content])
    await kept.keep()
    await (await rig.store.begin(digest)).discard()
    const again = await rig.store.begin(other)
    expect(again.written).toBe(content.length)
    await again.discard()
  })

  test('one that cannot be gone on with is an error, and no obstacle once it is gone', async () => {
    await using rig = await openTestStore()
    const folder = rig.store.layout.partials
    await mkdir(`${folder}/${dashed(digest)}.a`)
    await writeFile(`${folder}/${dashed(digest)}.a.note`, '{"offset":1}')
    await expect(rig.store.begin(digest)).rejects.toThrow()
    await rm(`${folder}/${dashed(digest)}.a`, { recursive: true })
    await (await rig.store.begin(digest)).discard()
  })
})

describe('reaping', () => {
  test('deletes what nobody went on with for so long, and nothing that is being written', async () => {
    await using rig = await openTestStore()
    const folder = rig.store.layout.partials
    const open = await rig.store.begin(digest)
    await open.append([content])
    await leave(folder, { flight: 'old', bytes: content, note: '{"offset":4}' })
    await leave(folder, { flight: 'young', bytes: content })
    const now = (await stat(`${folder}/${dashed(digest)}.young`)).mtimeMs + 1
    for (const name of await readdir(folder)) {
      if (!name.endsWith('.young')) await utimes(`${folder}/${name}`, new Date(0), new Date(0))
    }
    expect(await rig.store.reapPartials(hour, now)).toBe(2)
    expect(await readdir(folder)).toHaveLength(2)
    await rig.store.commit(open)
    expect(await readFile(rig.store.layout.cached(digest))).toEqual(content)
  })

  test('deletes what a killed process was just writing, and passes over folders that somebody put there', async () => {
    await using rig = await openTestStore()
    const { partials, trash } = rig.store.layout
    await mkdir(`${partials}/folder`)
    for (const path of [`${partials}/one.x`, `${trash}/new-old`, `${trash}/new-young`])
      await writeFile(path, 'x')
    for (const path of [`${partials}/folder`, `${partials}/one.x`, `${trash}/new-old`])
      await utimes(path, new Date(0), new Date(0))
    expect(await rig.store.reapPartials(1, Date.now())).toBe(2)
    expect(await readdir(partials)).toEqual(['folder'])
    expect(await readdir(trash)).toEqual(['new-young'])
  })

  test('goes on when flights end meanwhile', async () => {
    await using rig = await openTestStore()
    const partials = await Promise.all(
      Array.from({ length: 50 }, (_, at) => rig.store.begin(digestOf(Buffer.from(`${at}`)))),
    )
    const reaping = Array.from({ length: 20 }, () => rig.store.reapPartials(hour, 0))
    await Promise.all([...partials.map(partial => partial.discard()), ...reaping])
    expect(await readdir(rig.store.layout.partials)).toEqual([])
  })
})
