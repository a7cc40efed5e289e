/** Readers of a stored file that the disk stops giving. */
import { randomBytes } from 'node:crypto'
import { truncate, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { Mended } from '../../../../src/pull/flights/mended.ts'
import { SharedFile } from '../../../../src/store/files/file.ts'
import type { Bytes } from '../../../../src/stream/bytes.ts'
import { tempDir } from '../../../support/temp-dir.ts'
import { readAll } from '../flight-rig.ts'

const content = randomBytes(300_000)

/** The same bytes from memory. */
function anew() {
  const state = { closed: 0 }
  const bytes: Bytes = {
    read: async (target, position) => {
      const chunk = content.subarray(position, position + target.length)
      return chunk.length > 0 ? [chunk] : []
    },
    close: () => {
      state.closed += 1
    },
  }
  return { bytes, state }
}

async function stored() {
  const dir = await tempDir()
  const path = dir.join('blob')
  await writeFile(path, content)
  const file = await SharedFile.open(path, 'r')
  return {
    path,
    stored: { file, size: content.length },
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  }
}

test('a whole file is read to its end, and nothing is fetched', async () => {
  await using at = await stored()
  const bytes = new Mended(at.stored, () => Promise.reject(new Error('fetched again')))
  expect((await readAll(bytes)).equals(content)).toBe(true)
  expect(await bytes.shared?.until(0)).toBe(content.length)
  bytes.close()
})

test('a file that turns out shorter is gone on with where it ended', async () => {
  await using at = await stored()
  await truncate(at.path, 100_000)
  const again = anew()
  const causes: unknown[] = []
  const bytes = new Mended(at.stored, async cause => {
    causes.push(cause)
    return again.bytes
  })
  expect((await readAll(bytes)).equals(content)).toBe(true)
  expect(causes).toEqual([new Error('the file ended at 100000 of 300000 bytes')])
  bytes.close()
  bytes.close()
  expect(again.state.closed).toBe(1)
})

test('what was fetched for a reader who left meanwhile is let go', async () => {
  await using at = await stored()
  await truncate(at.path, 0)
  const again = anew()
  const bytes = new Mended(at.stored, async () => {
    bytes.close()
    return again.bytes
  })
  await bytes.read(Buffer.alloc(10), 0).catch(() => {})
  expect(again.state.closed).toBe(1)
})

test('nothing is fetched for a reader who has left', async () => {
  await using at = await stored()
  const bytes = new Mended(at.stored, () => Promise.reject(new Error('fetched again')))
  bytes.close()
  await expect(bytes.read(Buffer.alloc(10), 0)).rejects.toThrow('the file is closed')
})
