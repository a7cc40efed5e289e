/** Files kept open. */
import { readdirSync, readlinkSync } from 'node:fs'
import { rename, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { OpenFiles } from '../../../../src/store/files/open-files.ts'
import { tempDir } from '../../../support/temp-dir.ts'

async function rig(content: string) {
  const dir = await tempDir()
  const path = join(dir.path, 'file')
  await writeFile(path, content)
  return { path, files: new OpenFiles(), [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() }
}

async function textOf(files: OpenFiles, path: string): Promise<string | undefined> {
  const found = await files.open(path)
  if (!found) return undefined
  const target = Buffer.alloc(found.size)
  await found.file.read(target, 0)
  found.file.release()
  return target.toString()
}

function isOpen(path: string): boolean {
  return readdirSync('/proc/self/fd').some(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(path)
    } catch {
      return false // closed meanwhile
    }
  })
}

test('a file that was opened is not opened again', async () => {
  await using at = await rig('bytes')
  const first = await at.files.open(at.path)
  const second = await at.files.open(at.path)
  expect(second?.file.fd).toBe(first?.file.fd)
  expect(second?.size).toBe(5)
})

test('who lets go of a file twice takes it from nobody else', async () => {
  await using at = await rig('bytes')
  const twice = await at.files.open(at.path)
  const [other, target] = [await at.files.open(at.path), Buffer.alloc(5)]
  for (let nth = 0; nth < 3; nth += 1) twice?.file.release()
  expect(await other?.file.read(target, 0)).toBe(5)
  expect(await textOf(at.files, at.path)).toBe('bytes')
})

test('a file that was deleted, replaced or cut behind our back is as it is now', async () => {
  await using at = await rig('first')
  expect(await textOf(at.files, at.path)).toBe('first')
  await writeFile(`${at.path}.new`, 'another')
  await rename(`${at.path}.new`, at.path)
  expect(await textOf(at.files, at.path)).toBe('another')
  await truncate(at.path, 3)
  expect(await textOf(at.files, at.path)).toBe('ano')
  await rm(at.path)
  expect(await textOf(at.files, at.path)).toBeUndefined()
})

test.runIf(process.platform === 'linux')(
  'what is forgotten is closed when its last reader has let go',
  async () => {
    await using at = await rig('bytes')
    const found = await at.files.open(at.path)
    at.files.forget(at.path)
    expect(isOpen(at.path)).toBe(true)
    found?.file.release()
    await expect.poll(() => isOpen(at.path), { timeout: 5_000 }).toBe(false)
  },
)

test.runIf(process.platform === 'linux')('closing lets go of all of them', async () => {
  await using at = await rig('bytes')
  await textOf(at.files, at.path)
  expect(isOpen(at.path)).toBe(true)
  at.files.close()
  await expect.poll(() => isOpen(at.path), { timeout: 5_000 }).toBe(false)
})
