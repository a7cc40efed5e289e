/** The power fails in the middle of pushes, and the disk keeps no more than it was made to keep. */
import { expect, test } from 'vitest'
import { seededRandom } from '../crashes.ts'
import { powerCuts, tracedPushes } from '../power-cut.ts'
import { mayTrace, traceNote } from '../strace.ts'

const seed = Number(process.env.LAYOVER_SEED ?? 20_260_301)
const cuts = Number(process.env.LAYOVER_CUTS ?? 6)

test.skipIf(!mayTrace)(
  `after the power failed at ${cuts} moments (LAYOVER_SEED=${seed}), the program starts, every answer before it holds, and nothing is half there${traceNote}`,
  async () => {
    const random = seededRandom(seed)
    const traced = await tracedPushes(5, 16, random)
    expect(traced.answers.size).toBeGreaterThan(100)
    await powerCuts(traced, cuts, random)
  },
  180_000,
)
