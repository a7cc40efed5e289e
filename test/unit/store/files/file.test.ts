/** A shared file is closed when the last of its users has let go, and never under a read. */
import { readlinkSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { expect, test, vi } from 'vitest'
import { SharedFile } from '../../../../src/store/files/file.ts'
import { tempDir } from '../../../support/temp-dir.ts'

async function openFile() {
  const dir = await tempDir()
  await writeFile(dir.join('file'), 'content')
  const file = await SharedFile.open(dir.join('file'), 'r')
  return { file, path: dir.join('file'), [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() }
}

function linkOf(fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return undefined // closed
  }
}

test('reads that are under way when it is released end well, and then it is closed', async () => {
  await using at = await openFile()
  const buffers = Array.from({ length: 64 }, () => Buffer.alloc(7))
  const reads = buffers.map(buffer => at.file.read(buffer, 0))
  at.file.release()
  expect(await Promise.all(reads)).toEqual(buffers.map(() => 7))
  for (const buffer of buffers) expect(buffer.toString()).toBe('content')
  await vi.waitFor(() => expect(linkOf(at.file.fd)).not.toBe(at.path), { timeout: 5_000 })
})

test('a read after it was closed is refused: its number may be of another file by then', async () => {
  await using at = await openFile()
  at.file.release()
  await expect(at.file.read(Buffer.alloc(7), 0)).rejects.toThrow('closed')
})
