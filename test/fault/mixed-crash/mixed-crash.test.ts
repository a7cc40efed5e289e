/** The process killed while it serves, takes pushes, evicts, collects and scrubs. */
import { expect, test } from 'vitest'
import { tempDir } from '../../support/temp-dir.ts'
import { seededRandom } from '../crashes.ts'
import { miB } from '../scene.ts'
import { MixedProcess } from './process.ts'
import { mixedCrashRounds } from './rounds.ts'

const seed = Number(process.env.LAYOVER_SEED ?? 20_260_301)

test.each([
  [1, 2],
  [2, 2],
])(
  `with %i workers, killed in the middle of everything %i times (LAYOVER_SEED=${seed}), nothing acknowledged is lost, nothing wrong served and no byte above the cap`,
  async (workers, rounds) => {
    const { pulls } = await mixedCrashRounds({ rounds, random: seededRandom(seed), workers })
    expect(pulls).toBeGreaterThan(0)
  },
  120_000,
)

test('servers end with their primary, whatever they were just doing', async () => {
  await using dir = await tempDir()
  let lingering = 0
  for (let tries = 0; tries < 2 && lingering === 0; tries += 1) {
    const setting = { home: dir.path, upstreamUrl: 'http://127.0.0.1:9', workers: 2, maxBytes: miB }
    await using layover = await MixedProcess.start(setting)
    const asking = Array.from({ length: 8 }, () => askUntilGone(layover.url))
    await Promise.race(asking.map(({ many }) => many))
    await layover.kill('primary')
    await Promise.all(asking.map(({ gone }) => gone))
    lingering += layover.lingering
  }
  expect(lingering).toBe(0)
}, 120_000)

/** Resolves after so many answers, and when nobody answers any more. */
function askUntilGone(url: string): { many: Promise<void>; gone: Promise<void> } {
  const { promise: many, resolve } = Promise.withResolvers<void>()
  const ask = async () => {
    for (let count = 0; ; count += 1) {
      const answer = await fetch(`${url}/v2/`).catch(() => undefined)
      if (!answer) return
      await answer.arrayBuffer().catch(() => {}) // cut off by the kill
      if (count === 50) resolve()
    }
  }
  return { many, gone: ask() }
}
