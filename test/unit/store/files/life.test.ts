/** How a store notices that it was left without being closed, and what is in doubt then. */
import { mkdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { createLogger } from '../../../../src/observe/log.ts'
import { Life } from '../../../../src/store/files/life.ts'
import { tempDir } from '../../../support/temp-dir.ts'

const minute = 60_000

async function place() {
  const dir = await tempDir()
  const path = dir.join('running')
  const lines: string[] = []
  const log = createLogger('warn', { write: line => lines.push(line) })
  const begin = async (times?: Parameters<typeof Life.begin>[2]) => {
    const life = await Life.begin(path, log, times)
    onTestFinished(() => life.end())
    return life
  }
  const touchedAt = async () => (await stat(path)).mtimeMs
  /** As an earlier run left it behind. */
  const left = async (at: number, content = '{"v":1}') => {
    await writeFile(path, content)
    await utimes(path, at / 1000, at / 1000)
  }
  return { path, lines, begin, touchedAt, left, [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() }
}

describe('the life of a store', () => {
  test('leaves nothing in doubt for who comes after it was closed', async () => {
    await using at = await place()
    for (const _ of ['first', 'second']) {
      const life = await at.begin()
      expect(life.doubtful).toBeUndefined()
      expect(await readFile(at.path, 'utf8')).toBe('{"v":1}')
      life.end()
      await expect(stat(at.path)).rejects.toThrow('ENOENT')
    }
    expect(at.lines).toEqual([])
  })

  test('that was cut off leaves what was written from ten minutes before on in doubt', async () => {
    await using at = await place()
    const diedAt = Date.now() - 1000 * minute
    await at.left(diedAt)
    const before = Date.now()
    const { doubtful } = await at.begin()
    expect(doubtful?.from).toBe(diedAt - 10 * minute)
    expect(doubtful?.to).toBeGreaterThanOrEqual(before)
    expect(doubtful?.to).toBeLessThanOrEqual(Date.now())
  })

  test.each([
    '',
    '{"v":',
    '\0'.repeat(100),
  ])('leaves a file whose content is of no consequence: %j', async content => {
    await using at = await place()
    const diedAt = Date.now() - minute
    await at.left(diedAt, content)
    expect((await at.begin()).doubtful?.from).toBe(diedAt - 10 * minute)
  })

  test('by a clock that was fast leaves the same in doubt', async () => {
    await using at = await place()
    const diedAt = Date.now() + 1000 * minute
    await at.left(diedAt)
    expect((await at.begin()).doubtful).toEqual({ from: diedAt - 10 * minute, to: diedAt + 2 * minute })
  })

  test('is told of each minute', async () => {
    await using at = await place()
    const life = await at.begin({ everyMs: 5 })
    await utimes(at.path, 1, 1)
    await vi.waitFor(async () => expect(await at.touchedAt()).toBeGreaterThan(1000), { timeout: 5_000 })
    life.end()
    await expect(stat(at.path)).rejects.toThrow('ENOENT')
  })

  test('that was short leaves in doubt what it found in doubt', async () => {
    await using at = await place()
    const diedAt = Date.now() - 1000 * minute
    await at.left(diedAt)
    const short = await at.begin({ everyMs: 5 })
    short.end()
    expect((await at.begin()).doubtful?.from).toBe(diedAt - 10 * minute)
  })

  test('that was long enough leaves nothing in doubt', async () => {
    await using at = await place()
    await at.left(Date.now() - 1000 * minute)
    const long = await at.begin({ everyMs: 5, settledMs: 0 })
    await vi.waitFor(async () => expect(await at.touchedAt()).toBeGreaterThan(Date.now() - minute), {
      timeout: 5_000,
    })
    long.end()
    expect((await at.begin()).doubtful).toBeUndefined()
  })

  test('goes on where the file cannot be written, and says so', async () => {
    await using at = await place()
    const life = await Life.begin(
      '/proc/self/running',
      createLogger('warn', { write: line => at.lines.push(line) }),
    )
    expect(life.doubtful).toBeUndefined()
    life.end()
    expect(at.lines).toHaveLength(1)
  })

  test('goes on where something else has its place', async () => {
    await using at = await place()
    await mkdir(at.path)
    const life = await at.begin({ everyMs: 5, settledMs: 0 })
    expect(life.doubtful).toBeDefined()
    life.end()
  })
})
