/** The process killed in the middle of pushes: what was answered is there, and nothing is half there. */
import { test } from 'vitest'
import { seededRandom } from '../crashes.ts'
import { pushCrashRounds } from './crash-rounds.ts'

const seed = Number(process.env.LAYOVER_SEED ?? 20_260_201)

test(`killed at three random moments of many pushes (LAYOVER_SEED=${seed}), everything that was answered holds and uploads go on`, async () => {
  await pushCrashRounds(3, seededRandom(seed))
}, 180_000)
