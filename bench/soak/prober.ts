/** One asker of one cached manifest, as a process of its own: how long that takes, whatever others are busy with. */
import { setTimeout as pause } from 'node:timers/promises'
import { answerCalls } from '../child.ts'
import { Random } from '../eviction/random.ts'
import { nowMs } from '../monotonic.ts'
import { Asker } from './asker.ts'
import { emptyTally, type Tally } from './tally.ts'

const gapMs = 10

const ending = new AbortController()
let tally = emptyTally()
let running: Promise<void> = Promise.resolve()

export const calls = {
  start({ url, path }: { url: string; path: string }): void {
    const asker = new Asker({ url, random: new Random(0), tally: () => tally, stopped: ending.signal })
    running = probe(asker, path).finally(() => asker.close())
  },

  take(): Tally {
    const taken = tally
    tally = emptyTally()
    return taken
  },

  async stop(): Promise<void> {
    ending.abort()
    await running
  },
}

answerCalls(calls)

async function probe(asker: Asker, path: string): Promise<void> {
  while (!asker.stopped.aborted) {
    const startedMs = nowMs()
    const answer = await asker.ask(path, [200])
    if (answer) tally.probesMs.push(nowMs() - startedMs)
    await pause(gapMs, undefined, { signal: asker.stopped }).catch(() => {}) // the end
  }
}
