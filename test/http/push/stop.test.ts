/** A stop while the disk is slow: nobody else may have the store while something is still on its way into it. */
import { afterEach, expect, test, vi } from 'vitest'
import { createLogger } from '../../../src/observe/log.ts'
import { createMetrics } from '../../../src/observe/metrics.ts'
import { digestOf } from '../../../src/oci/digest.ts'
import { SharedFile } from '../../../src/store/files/file.ts'
import { openStore } from '../../../src/store/store.ts'
import { image } from '../../fake/content.ts'
import { bytes, type PushScene, pushScene } from './scene.ts'

const content = bytes(3_000)
const digest = digestOf(content)
const { root } = image('slow')

afterEach(() => void vi.restoreAllMocks())

/** Syncs of files begin, and end when they are let. */
function slowDisk() {
  const { promise: ended, resolve: end } = Promise.withResolvers<void>()
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
  vi.spyOn(SharedFile.prototype, 'sync').mockImplementation(() => {
    begin()
    return ended
  })
  return { begun, end }
}

const open = (path: string) => openStore(path, { log: createLogger('silent'), metrics: createMetrics() })

test.each<[string, (at: PushScene, location: string) => Promise<unknown>]>([
  ['an upload', (at, location) => at.close(location, digest, content)],
  ['a blob in one request', at => at.push(content)],
  ['a manifest', at => at.put(root, 'v1')],
])('waits for %s that the disk takes its time for, beyond the deadline', async (_, push) => {
  await using at = await pushScene({ limits: { drainMs: 10 } })
  const location = await at.start()
  const disk = slowDisk()
  const pushing = expect(push(at, location)).rejects.toThrow()
  await disk.begun
  const stopping = at.layover.stop()
  await pushing
  await expect(open(at.layover.storePath)).rejects.toThrow('in use')
  disk.end()
  await stopping
  const store = await open(at.layover.storePath)
  store.close()
})
