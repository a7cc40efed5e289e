/** Many more random moments of being killed than the short test has. */
import { test } from 'vitest'
import { crashRounds, seededRandom } from '../fault/crashes.ts'

const seed = Number(process.env.LAYOVER_SEED ?? Date.now() % 2 ** 31)
const rounds = Number(process.env.LAYOVER_ROUNDS ?? 200)

test(`killed at ${rounds} random moments (LAYOVER_SEED=${seed}), the store holds nothing wrong and every pull is right`, async () => {
  await crashRounds(rounds, seededRandom(seed))
})
