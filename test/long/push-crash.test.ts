/** Many more random moments of being killed in the middle of pushes than the short test has. */
import { test } from 'vitest'
import { seededRandom } from '../fault/crashes.ts'
import { pushCrashRounds } from '../fault/push/crash-rounds.ts'

const seed = Number(process.env.LAYOVER_SEED ?? Date.now() % 2 ** 31)
const rounds = Number(process.env.LAYOVER_ROUNDS ?? 200)

test(`killed at ${rounds} random moments of many pushes (LAYOVER_SEED=${seed}), everything that was answered holds and uploads go on`, async () => {
  await pushCrashRounds(rounds, seededRandom(seed))
})
