/** Opening a store: one owner, one format, and a clear word when it cannot be. */
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { describe, expect, test } from 'vitest'
import { openLayout, StoreUnusable } from '../../../src/store/open.ts'
import { tempDir } from '../../support/temp-dir.ts'

async function refusal(root: string): Promise<string> {
  try {
    const { unlock } = await openLayout(root)
    unlock()
  } catch (error) {
    if (error instanceof StoreUnusable) return error.message
    throw error
  }
  throw new Error('the store was opened')
}

describe('opening a store', () => {
  test('makes it where there is none, and says its format', async () => {
    await using dir = await tempDir()
    const { layout, unlock } = await openLayout(dir.join('deep', 'data'))
    expect(JSON.parse(await readFile(layout.format, 'utf8'))).toEqual({ v: 1, id: expect.any(String) })
    unlock()
    const again = await openLayout(dir.join('deep', 'data'))
    again.unlock()
  })

  test('is refused while it is open, naming who has it, and not after', async () => {
    await using dir = await tempDir()
    const { unlock } = await openLayout(dir.path)
    expect(await refusal(dir.path)).toBe(
      `the store at ${dir.path} is in use by process ${process.pid} on ${hostname()}`,
    )
    unlock()
    const again = await openLayout(dir.path)
    again.unlock()
  })

  test('of before there was a format, or before it had an id, is upgraded in place, and keeps its id then', async () => {
    await using dir = await tempDir()
    await mkdir(dir.join('names', '_local'), { recursive: true })
    for (const before of [undefined, '{"v":1}']) {
      if (before !== undefined) await writeFile(dir.join('format.json'), before)
      const ids: unknown[] = []
      for (let opening = 0; opening < 2; opening += 1) {
        const { layout, unlock } = await openLayout(dir.path)
        unlock()
        const format = JSON.parse(await readFile(layout.format, 'utf8')) as { v: number; id: string }
        expect(format.v).toBe(1)
        ids.push(format.id)
      }
      expect(ids).toEqual([expect.any(String), ids[0]])
    }
  })

  test('of an older format goes through each upgrade once, and is refused by an older program then', async () => {
    await using dir = await tempDir()
    const made = await openLayout(dir.path)
    made.unlock()
    const done: string[] = []
    const step = (name: string) => async () => void done.push(name)
    const steps = [step('to 1'), step('to 2'), step('to 3')]
    for (let opening = 0; opening < 2; opening += 1) {
      const { unlock } = await openLayout(dir.path, steps)
      unlock()
    }
    expect(done).toEqual(['to 2', 'to 3'])
    expect(await refusal(dir.path)).toContain(
      'has format 3, this program knows 1: use the program that wrote it',
    )
  })

  test('whose upgrade fails is of the format before, unlocked, and upgraded the next time', async () => {
    await using dir = await tempDir()
    const made = await openLayout(dir.path)
    made.unlock()
    const fails = () => Promise.reject(new Error('no room'))
    await expect(openLayout(dir.path, [async () => {}, fails])).rejects.toThrow(StoreUnusable)
    expect(JSON.parse(await readFile(dir.join('format.json'), 'utf8'))).toMatchObject({ v: 1 })
    const { unlock } = await openLayout(dir.path, [async () => {}, async () => {}])
    unlock()
    expect(JSON.parse(await readFile(dir.join('format.json'), 'utf8'))).toMatchObject({ v: 2 })
  })

  test.each([
    ['{"v":2}', 'has format 2, this program knows 1'],
    ['{"v":"new"}', 'has format "new", this program knows 1'],
    ['{"v":0}', 'has format 0, this program knows 1'],
    ['', 'format.json is damaged: restore it, or remove it'],
    ['{"v":', 'format.json is damaged'],
    ['null', 'format.json is damaged'],
    ['{}', 'format.json is damaged'],
    ['7', 'format.json is damaged'],
  ])('with %j as its format is refused, and left unlocked and unchanged', async (text, message) => {
    await using dir = await tempDir()
    await writeFile(dir.join('format.json'), text)
    expect(await refusal(dir.path)).toContain(message)
    expect(await refusal(dir.path)).toContain(message)
    expect(await readFile(dir.join('format.json'), 'utf8')).toBe(text)
  })

  test.each(['', 'partial', 'names', 'trash'])('with a file in the place of %j is refused', async name => {
    await using dir = await tempDir()
    const root = dir.join('data')
    if (name !== '') await mkdir(root)
    await writeFile(name === '' ? root : dir.join('data', name), '')
    expect(await refusal(root)).toBe(
      `cannot use the store at ${root}: something that is no folder is in the way`,
    )
  })

  test('with a folder in the place of its lock is refused', async () => {
    await using dir = await tempDir()
    await mkdir(dir.join('lock'))
    expect(await refusal(dir.path)).toContain(`cannot use the store at ${dir.path}: `)
  })

  test('with a lock of another kind is refused', async () => {
    await using dir = await tempDir()
    await writeFile(dir.join('lock'), 'this is not a database, but it is long enough to be one. '.repeat(20))
    expect(await refusal(dir.path)).toContain('file is not a database')
  })

  const root = process.getuid?.() === 0
  test.skipIf(root)(
    `in a folder that may not be written is refused${root ? ' (root may write anywhere)' : ''}`,
    async () => {
      await using dir = await tempDir()
      await chmod(dir.path, 0o500)
      expect(await refusal(dir.path)).toContain('it is not writable by this user')
    },
  )
})
