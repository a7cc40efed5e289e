/** A closing PUT that fails when the bytes lie under their digest already: only the repository's record is missing. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { storeOfSuite } from '../../support/layover.ts'
import { bytes, name, type PushScene, pushScene } from './scene.ts'

/** What stands in a record's way is of the disk. */
const onDisk = test.runIf(storeOfSuite === 'disk')

const content = bytes(3_000)
const digest = digestOf(content)
const other = 'local/other'

/** Another repository holds the blob, and ours has a session of which the closing PUT failed. */
async function failed() {
  const at = await pushScene()
  await at.push(content, other)
  const records = join(at.layover.storePath, 'names/_local', name, '_blobs')
  await mkdir(dirname(records), { recursive: true })
  await writeFile(records, 'in the way')
  const location = await at.start()
  expect((await at.close(location, digest, content)).status).toBe(500)
  return Object.assign(at, { location, mend: () => rm(records) })
}

async function expectWhole(at: PushScene, repository: string): Promise<void> {
  const { status, body } = await at.ask(`/v2/${repository}/blobs/${digest}`)
  expect([status, body.equals(content)]).toEqual([200, true])
}

onDisk.each([
  ['the same PUT once more', (at: PushScene, location: string) => at.close(location, digest, content)],
  ['one more chunk', (at: PushScene, location: string) => at.patch(location, [content])],
  [
    'one more chunk in the right place',
    (at: PushScene, location: string) => at.patch(location, content, { 'content-range': '3000-5999' }),
  ],
])('%s is refused, and damages nobody', async (_, retry) => {
  await using at = await failed()
  expect(at.failure(await retry(at, at.location))).toEqual([400, 'BLOB_UPLOAD_INVALID'])
  await expectWhole(at, other)
  await at.mend()
  expect((await at.close(at.location, digest)).status).toBe(201)
  await expectWhole(at, name)
  await expectWhole(at, other)
})

onDisk('a cancelled session takes away nothing', async () => {
  await using at = await failed()
  expect((await at.ask(at.location, { method: 'DELETE' })).status).toBe(204)
  await expectWhole(at, other)
  expect(await at.sessions()).toEqual([])
})
