/** Many more random moments of being killed under mixed load than the short test has. */
import { expect, test } from 'vitest'
import { seededRandom } from '../fault/crashes.ts'
import { mixedCrashRounds, type Summary } from '../fault/mixed-crash/rounds.ts'

const seed = Number(process.env.LAYOVER_SEED ?? Date.now() % 2 ** 31)
const rounds = Number(process.env.LAYOVER_ROUNDS ?? 30)
/** A round takes some seconds; on a busy machine many. */
const roundMs = 60_000

test.each([1, 2])(
  `with %i workers, killed at ${rounds} random moments of everything (LAYOVER_SEED=${seed}), nothing acknowledged is lost, nothing wrong served and no byte above the cap`,
  async workers => {
    const startedMs = performance.now()
    const told = (round: number, summary: Summary) => {
      if (round % 10 === 0) console.log({ workers, round, ...summary })
    }
    const summary = await mixedCrashRounds({ rounds, random: seededRandom(seed), workers, told })
    console.log({ workers, ...summary, secondsEach: (performance.now() - startedMs) / 1000 / rounds })
    expect(summary.pulls).toBeGreaterThan(0)
  },
  rounds * roundMs,
)
