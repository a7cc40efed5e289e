/** The process killed in the middle of fetches: nothing wrong is in the store, and what was synced is not fetched again. */
import { appendFile, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { seededBlob } from '../fake/bytes.ts'
import { crashRounds, crashScene, seededRandom } from './crashes.ts'
import { download, expectHonest, expectWhole, openDownload } from './download.ts'
import { auditStore, miB, partialsOf, repository } from './scene.ts'

const path = /\/blobs\//

test('killed at two random moments, every file in the store has its digest and every pull is right', async () => {
  await crashRounds(2, seededRandom(20_260_101))
})

describe('a fetch of 80 MiB that was killed after 64 MiB were synced', () => {
  const blob = seededBlob('crash', 80 * miB)

  /** @param spoil what else the crash did to the partial and its note */
  async function crashed(spoil: (partial: string, offset: number) => Promise<unknown>) {
    const at = await crashScene()
    at.net.plain.putBlob(repository, blob)
    const fault = at.net.fault({ kind: 'stall', at: 72 * miB, path, times: 1 })
    const reader = await openDownload(at.url(`blobs/${blob.digest}`))
    const reading = reader.finish()
    await fault.reached
    const { partial, offset } = await vi.waitFor(() => syncedPartial(at.store), { timeout: 20_000 })
    await at.kill()
    expect(expectHonest(await reading, blob)).toBe('broken')
    fault.release()
    expect(await auditStore(at.store)).toEqual([])
    await spoil(partial, offset)
    at.net.clearRequests()
    await at.start()
    const pull = () => download(at.url(`blobs/${blob.digest}`))
    const gets = () => at.net.requests({ method: 'GET', path })
    return { at, offset, pull, gets }
  }

  async function expectKept({ at, pull, gets }: Awaited<ReturnType<typeof crashed>>) {
    const asked = gets().length
    expectWhole(await pull(), blob)
    expect(gets()).toHaveLength(asked)
    await at.stop()
    expect(await auditStore(at.store)).toEqual([blob.digest])
    expect(await partialsOf(at.store)).toEqual([])
  }

  test('goes on from what was synced, whatever came into the file after it', async () => {
    const after = await crashed(partial => appendFile(partial, Buffer.alloc(miB, 'what a crash may leave')))
    await using _ = after.at
    expectWhole(await after.pull(), blob)
    expect(after.gets().map(({ headers }) => headers.range)).toEqual([`bytes=${after.offset}-`])
    expect(after.gets()[0]?.bodyBytes).toBe(blob.size - after.offset)
    await expectKept(after)
  })

  test('begins anew when the note is torn', async () => {
    const after = await crashed(partial => writeFile(`${partial}.note`, '{"offset":67'))
    await using _ = after.at
    expectWhole(await after.pull(), blob)
    expect(after.gets().map(({ headers }) => headers.range)).toEqual([undefined])
    await expectKept(after)
  })

  test.each([
    ['lost bytes that were synced', (partial: string, offset: number) => truncate(partial, offset - miB)],
    ['changed bytes that were synced', async (partial: string) => writeFile(partial, 'x', { flag: 'r+' })],
  ])('is no clean wrong body when the disk %s, and right at the next pull', async (_name, spoil) => {
    const after = await crashed(spoil)
    await using _ = after.at
    expectHonest(await after.pull(), blob)
    expectWhole(await after.pull(), blob)
    await expectKept(after)
  })
})

test('a fetch whose bytes were all synced and which was killed before its commit is completed', async () => {
  await using at = await crashScene()
  const blob = seededBlob('complete', 3 * miB)
  at.net.plain.putBlob(repository, blob)
  await at.kill()
  const partial = join(at.store, 'partial', `${blob.digest.replace(':', '-')}.0123456789ab`)
  await writeFile(partial, Buffer.concat([...blob.content.chunks(0, blob.size)]))
  await writeFile(`${partial}.note`, JSON.stringify({ offset: blob.size, total: blob.size }))
  await at.start()
  expectWhole(await download(at.url(`blobs/${blob.digest}`)), blob)
  expect(at.net.requests({ path }).reduce((sum, { bodyBytes }) => sum + bodyBytes, 0)).toBeLessThan(1_000)
  await at.stop()
  expect(await auditStore(at.store)).toEqual([blob.digest])
})

test('a fetch that was stopped politely goes on from its last byte', async () => {
  await using at = await crashScene()
  const blob = seededBlob('stopped', 8 * miB)
  at.net.plain.putBlob(repository, blob)
  const fault = at.net.fault({ kind: 'stall', at: 5 * miB, path, times: 1 })
  const reader = await openDownload(at.url(`blobs/${blob.digest}`))
  await fault.reached
  await reader.take(5 * miB)
  reader.leave() // the fetch goes on without it, and is what the stop ends
  await at.stop()
  fault.release()
  await at.start()
  expectWhole(await download(at.url(`blobs/${blob.digest}`)), blob)
  expect(at.net.requests({ path }).map(({ headers }) => headers.range)).toEqual([
    undefined,
    `bytes=${5 * miB}-`,
  ])
})

/** The one partial and its synced offset, once there is one. */
async function syncedPartial(store: string): Promise<{ partial: string; offset: number }> {
  const folder = join(store, 'partial')
  const [note] = (await readdir(folder)).filter(name => name.endsWith('.note'))
  if (note === undefined) throw new Error('nothing was synced yet')
  const { offset } = JSON.parse(await readFile(join(folder, note), 'utf8')) as { offset: number }
  const partial = join(folder, note.replace(/\.note$/, ''))
  expect(offset).toBeGreaterThanOrEqual(64 * miB)
  expect((await stat(partial)).size).toBeGreaterThanOrEqual(offset)
  return { partial, offset }
}
