/** A log that nobody reads holds nothing up, and takes no more than its share of memory. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

interface Line {
  nth?: number
  msg: string
  lines?: number
}

const script = fileURLToPath(new URL('log-writer.ts', import.meta.url))

/** What a process has logged whose log nobody read until it had gone on. */
async function logged(lines: number): Promise<Line[]> {
  const child = spawn(process.execPath, [script, String(lines)], { stdio: ['ignore', 'pipe', 'pipe'] })
  const exited = once(child, 'exit')
  await once(child.stderr, 'data')
  const read: Line[] = []
  for await (const line of createInterface({ input: child.stdout })) read.push(JSON.parse(line) as Line)
  expect(await exited).toEqual([0, null])
  return read
}

test('what waited for a slow reader is all there in the end, at a clean stop too', async () => {
  const read = await logged(5000)
  expect(read.map(({ nth }) => nth).toSorted((a = 0, b = 0) => a - b)).toEqual(
    Array.from({ length: 5000 }, (_, nth) => nth),
  )
})

test('beyond a bound lines are lost, and counted', async () => {
  const read = await logged(40_000)
  const told = read.filter(({ nth }) => nth !== undefined).length
  const lost = read.reduce((sum, { lines = 0 }) => sum + lines, 0)
  expect(lost).toBeGreaterThan(10_000)
  expect(told + lost).toBe(40_000)
})

test('a log on a full disk ends nothing', async () => {
  await using full = await open('/dev/full', 'w')
  const child = spawn(process.execPath, [script, '1000'], { stdio: ['ignore', full.fd, 'pipe'] })
  const { stderr } = child
  if (!stderr) throw new Error('there is nothing to read')
  const exited = once(child, 'exit')
  const [said] = (await once(stderr, 'data')) as [Buffer]
  expect(said.toString()).toBe('going on\n')
  expect(await exited).toEqual([0, null])
})
