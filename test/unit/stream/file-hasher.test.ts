/** Hashing a growing file in another thread. */
import { createHash, randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { FileHasher } from '../../../src/stream/file-hasher.ts'
import { tempDir } from '../../support/temp-dir.ts'

test.each([
  'sha256',
  'sha512',
])('%s of a file that grows meanwhile is that of all its bytes', async algorithm => {
  await using dir = await tempDir()
  await using file = await open(dir.join('growing'), 'wx+')
  const hasher = new FileHasher(algorithm, file.fd)
  const expected = createHash(algorithm)
  let size = 0
  for (const length of [0, 1, 3 * 1024 * 1024 + 5, 64]) {
    const bytes = randomBytes(length)
    await file.write(bytes, 0, length, size)
    expected.update(bytes)
    size += length
    hasher.written(size)
  }
  expect(await hasher.digest()).toBe(expected.digest('hex'))
  hasher.close()
})

test('a file shorter than announced makes no digest', async () => {
  await using dir = await tempDir()
  await using file = await open(dir.join('short'), 'wx+')
  const hasher = new FileHasher('sha256', file.fd)
  hasher.written(10)
  await expect(hasher.digest()).rejects.toThrow('the file ended at 0 of 10 bytes')
})

test('closed early, it makes no digest and waits for nobody', async () => {
  await using dir = await tempDir()
  await using file = await open(dir.join('left'), 'wx+')
  const hasher = new FileHasher('sha256', file.fd)
  const digest = hasher.digest()
  hasher.close()
  await expect(digest).rejects.toThrow('ended early')
})
