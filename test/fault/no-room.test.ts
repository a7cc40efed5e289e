/** A cache that is full of what has to stay: what cannot be kept is passed through. */
import { expect, test } from 'vitest'
import { seededBlob } from '../fake/bytes.ts'
import { asked } from '../http/scene.ts'
import { jumpScene } from './clock-jumps-scene.ts'
import { download, expectWhole, openDownload } from './download.ts'
import { miB } from './scene.ts'

/** 40 MiB, of which 25 are being read and 30 more are asked for. */
async function full() {
  const at = await jumpScene({ capacity: { maxBytes: 40 * miB } })
  const [small, read, large] = [5, 25, 30].map(size => seededBlob(`no room ${size}`, size * miB))
  if (!small || !read || !large) throw new Error('three blobs were made')
  for (const blob of [small, read, large]) at.net.plain.putBlob('app', blob)
  const urlOf = ({ digest }: { digest: string }) => `${at.layover.url}/v2/app/blobs/${digest}`
  for (const { digest } of [small, read]) await at.warm(`app/blobs/${digest}`)
  const reader = await openDownload(urlOf(read))
  await reader.take(1)
  expectWhole(await download(urlOf(large)), large)
  at.net.clearRequests()
  return { at, small, read, urlOf, reader }
}

test('what is being read stays, and is whole', async () => {
  const { at, read, reader, urlOf } = await full()
  await using _ = at
  expectWhole(await reader.finish(), read)
  expectWhole(await download(urlOf(read)), read)
  expect(asked(at.net)).toEqual([])
})

test('room that cannot be made costs nothing of what is cached', async () => {
  const { at, small, reader, urlOf } = await full()
  await using _ = at
  reader.leave()
  expectWhole(await download(urlOf(small)), small)
  expect(asked(at.net)).toEqual([])
})
