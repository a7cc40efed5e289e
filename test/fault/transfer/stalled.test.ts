/** Readers who take no bytes are cut off, and those who wait for upstream are not. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { image } from '../../fake/content.ts'
import { expectWhole, openDownload } from '../download.ts'
import { miB, repository, startScene } from '../scene.ts'

/** Less, and a machine that stands still for a moment would cut off those who do take them. */
const stalledMs = 1_000

test('a client that takes no bytes is cut off after limits.stalled', async () => {
  await using at = await startScene({ limits: { stalledMs } })
  const blob = at.blob('stored', 40 * miB)
  expectWhole(await (await openDownload(at.blobUrl(blob))).finish(), blob)
  const paused = await openDownload(at.blobUrl(blob))
  await expect
    .poll(() => at.layover.lines.some(({ aborted }) => aborted === true), { timeout: 10_000 })
    .toBe(true)
  expect(at.layover.lines.find(({ aborted }) => aborted === true)).toMatchObject({
    error: `the client took no bytes for ${stalledMs} ms`,
    status: 200,
  })
  await paused.finish()
})

test('a client that takes no bytes of a large manifest is cut off too', async () => {
  await using at = await startScene({ limits: { stalledMs } })
  const large = image('large', { layers: [10], padding: 3 * miB })
  at.origin.put(repository, 'large', large)
  const { port } = new URL(at.layover.url)
  const socket = connect(Number(port), '127.0.0.1')
  socket.on('error', () => {}) // how it is cut off
  // Sent ahead, so that together they are more than the socket's buffers take.
  const path = new URL(at.manifestUrl('large')).pathname
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(10))
  await expect
    .poll(() => at.layover.lines.some(({ aborted }) => aborted === true), { timeout: 10_000 })
    .toBe(true)
  socket.destroy()
})

test('a client that waits for upstream is not cut off, while one that takes no bytes is', async () => {
  await using at = await startScene({ limits: { stalledMs } })
  const [held, stored] = [at.blob('held', 10 * miB), at.blob('stored', 40 * miB)]
  expectWhole(await (await openDownload(at.blobUrl(stored))).finish(), stored)
  const fault = at.net.fault({ path: new RegExp(held.digest), kind: 'stall', at: 5 * miB })
  const waiting = await openDownload(at.blobUrl(held))
  const taken = waiting.take(5 * miB + 1) // takes whatever comes
  await fault.reached
  const paused = await openDownload(at.blobUrl(stored))
  await expect
    .poll(() => at.layover.lines.some(({ aborted }) => aborted === true), { timeout: 10_000 })
    .toBe(true)
  fault.release()
  await taken
  expectWhole(await waiting.finish(), held)
  expect((await paused.finish()).whole).toBe(false)
})

test('readers who leave in the middle of a stored blob take it from nobody', async () => {
  await using at = await startScene()
  const blob = at.blob('left', 40 * miB)
  expectWhole(await (await openDownload(at.blobUrl(blob))).finish(), blob)
  const staying = await openDownload(at.blobUrl(blob))
  for (let nth = 0; nth < 3; nth += 1) await leave(at.blobUrl(blob))
  expectWhole(await staying.finish(), blob)
  expectWhole(await (await openDownload(at.blobUrl(blob))).finish(), blob)
})

async function leave(url: string): Promise<void> {
  const { port, pathname } = new URL(url)
  const socket = connect(Number(port), '127.0.0.1')
  socket.write(`GET ${pathname} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await once(socket, 'readable')
  socket.destroy()
}
