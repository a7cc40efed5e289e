/** The index read by other processes while one writes it at full speed: each read is right for some moment of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { tempDir } from '../../support/temp-dir.ts'

const moves = 1500

interface Step {
  readonly move: number
  readonly begun: number
  readonly ended: number
}

test('reads in other processes and acknowledged moves of a tag make one history', async () => {
  await using dir = await tempDir()
  const path = dir.join('index.sqlite')
  const mover = start('mover.ts', path, String(moves))
  const moved = createInterface(mover.stdout)[Symbol.asyncIterator]()
  const epoch = String((await moved.next()).value)
  const followers = [1, 2].map(() => outputOf(start('follower.ts', path, epoch, String(moves))))
  for (const follower of followers) await follower.next() // it reads: none comes too late for the moves
  mover.stdin.write('go')
  const written: Step[] = []
  while (written.length < moves) written.push(step(String((await moved.next()).value)))
  const read = (await Promise.all(followers.map(restOf))).flat()
  mover.stdin.end()
  if (mover.exitCode === null) await once(mover, 'exit')

  expect(read.filter(line => line.startsWith('absent'))).toEqual([])
  const reads = read.map(step).sort((a, b) => a.begun - b.begun)
  const known = reads.filter(({ move }) => move > 0)
  expect(new Set(known.map(({ move }) => move)).size).toBeGreaterThan(moves / 100) // they had turns, on one core too
  expect(wrongReads(written, known)).toEqual([])
  expect(backwards(known)).toEqual([])
})

/** Older than what was acknowledged before they began, or newer than what was begun before they ended. */
function wrongReads(written: readonly Step[], reads: readonly Step[]): Step[] {
  let acknowledged = 0
  return reads.filter(read => {
    while ((written[acknowledged]?.ended ?? Number.POSITIVE_INFINITY) < read.begun) acknowledged += 1
    const begun = written[read.move - 1]?.begun ?? Number.POSITIVE_INFINITY
    return read.move < acknowledged || begun > read.ended
  })
}

/** Of whichever process: after a read that had ended, an older move was found. */
function backwards(reads: readonly Step[]): Step[] {
  const byEnd = reads.toSorted((a, b) => a.ended - b.ended)
  let at = 0
  let newest = 0
  return reads.filter(({ move, begun }) => {
    for (let before = byEnd[at]; before && before.ended < begun; before = byEnd[at]) {
      newest = Math.max(newest, before.move)
      at += 1
    }
    return move < newest
  })
}

function step(line: string): Step {
  const [move = 0, begun = 0, ended = 0] = line.split(' ').map(Number)
  return { move, begun, ended }
}

function start(script: string, ...args: string[]) {
  const path = fileURLToPath(new URL(script, import.meta.url))
  return spawn(process.execPath, [path, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
}

async function restOf(lines: AsyncIterable<string>): Promise<string[]> {
  const rest: string[] = []
  for await (const line of lines) rest.push(line)
  return rest
}

function outputOf(child: ChildProcess & { stdout: NodeJS.ReadableStream }): AsyncIterableIterator<string> {
  return createInterface(child.stdout)[Symbol.asyncIterator]()
}
