/** Long work: one at a time, watched, called off. */
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Job, type Watching } from '../../../src/admin/job.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { Background } from '../../../src/stream/background.ts'
import { FakeClock } from '../../fake/clock.ts'

function world() {
  const stop = new AbortController()
  const ends = Promise.withResolvers<string>()
  const failures: unknown[] = []
  const background = new Background(error => failures.push(error))
  let watching: Watching<number> | undefined
  const job = new Job<{ dryRun: boolean }, number, string>({
    name: 'count',
    async task(_, given) {
      watching = given
      given.signal.addEventListener('abort', () => ends.reject(given.signal.reason))
      return ends.promise
    },
    clock: new FakeClock(),
    log: createLogger('silent'),
    background,
    signal: stop.signal,
  })
  const found = (...numbers: readonly number[]) => {
    for (const number of numbers) watching?.told(number)
  }
  return { job, stop, ends, found, settled: () => background.settled(), failures }
}

const dry = { dryRun: true }

test('is watched from its beginning to its report', async () => {
  const { job, ends, found, settled } = world()
  expect(job.view()).toBeUndefined()
  job.start(dry)
  found(1, 2)
  expect(job.view()).toMatchObject({ id: 1, state: 'running', options: dry, found: 2, findings: [1, 2] })
  found(3)
  expect(job.view(2)).toMatchObject({ found: 3, findings: [3] })
  expect(job.view(3)?.findings).toEqual([])
  ends.resolve('all')
  await settled()
  expect(job.view()).toMatchObject({ state: 'done', report: 'all', findings: [1, 2, 3] })
})

test('is begun once, whoever begins it, and again when it has ended', async () => {
  const { job, ends, settled } = world()
  const result = job.run(dry)
  expect(() => job.start(dry)).toThrow('a count is under way')
  expect(() => job.run(dry)).toThrow('a count is under way')
  ends.resolve('all')
  expect(await result).toBe('all')
  job.start(dry)
  await settled()
  expect(job.view()?.id).toBe(2)
})

test('that fails says why, and to nobody else who began it', async () => {
  const { job, ends, settled, failures } = world()
  job.start(dry)
  ends.reject(new Error('EIO'))
  await settled()
  expect(job.view()).toMatchObject({ state: 'failed', failure: 'EIO', report: undefined })
  expect(failures).toEqual([])
})

test('is called off, which resolves when it has ended', async () => {
  const { job, settled } = world()
  await expect(job.cancel()).rejects.toThrow('no count is under way')
  job.start(dry)
  await job.cancel()
  expect(job.view()).toMatchObject({ state: 'cancelled', failure: undefined })
  await settled()
  await expect(job.cancel()).rejects.toThrow('no count is under way')
})

test('ends at the stop', async () => {
  const { job, stop, settled } = world()
  job.start(dry)
  stop.abort(new Error('stopping'))
  await settled()
  expect(job.view()?.state).toBe('cancelled')
})

test('keeps the last 10 000 findings, and counts all', async () => {
  const { job, ends, found, settled } = world()
  job.start(dry)
  const numbers = Array.from({ length: 45_000 }, (_, at) => at)
  found(...numbers)
  const { found: count = 0, findings = [] } = job.view() ?? {}
  expect(count).toBe(45_000)
  expect(findings.length).toBeGreaterThanOrEqual(10_000)
  expect(findings.length).toBeLessThan(20_000)
  expect(findings).toEqual(numbers.slice(-findings.length))
  expect(job.view(44_999)?.findings).toEqual([44_999])
  ends.resolve('all')
  await turn()
  await settled()
})
