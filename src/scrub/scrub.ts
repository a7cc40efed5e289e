/** The store looked through for what has rotted, beside everything else: each file's digest, each record. */
import { shards } from '../store/layout.ts'
import { Pace } from './pace.ts'
import { type Progress, readProgress, saveProgress } from './progress.ts'
import { tellQuarantine } from './quarantine.ts'
import { scrubRecords } from './records.ts'
import { nothingYet, type Report, type Run, type ScrubDeps, type ScrubOptions } from './run.ts'
import { scrubShard } from './shards.ts'

export class Scrub {
  readonly #deps: ScrubDeps
  #isRunning = false

  constructor(deps: ScrubDeps) {
    this.#deps = deps
  }

  /** How far the last one came. */
  last(): Promise<Progress | undefined> {
    return readProgress(this.#deps.store)
  }

  /**
   * Goes on with one that was stopped or killed; what that found counts too.
   *
   * @throws the signal's reason, an error of the disk, or an Error when one is under way
   */
  async run({ dryRun = false, signal, told = () => {} }: ScrubOptions = {}): Promise<Report> {
    if (this.#isRunning) throw new Error('a scrub is under way')
    this.#isRunning = true
    const { clock, bytesPerSecond, metrics } = this.#deps
    try {
      const begun = dryRun ? undefined : await this.#unfinished()
      const run: Run = {
        ...this.#deps,
        dryRun,
        signal: signal ?? new AbortController().signal,
        told,
        pace: new Pace(clock, bytesPerSecond),
        report: { ...(begun?.report ?? nothingYet) },
      }
      await scrubAll(run, begun)
      if (!dryRun) metrics.scrubs.inc({ result: 'done' })
      return run.report
    } catch (error) {
      if (!dryRun) metrics.scrubs.inc({ result: signal?.aborted ? 'stopped' : 'failed' })
      throw error
    } finally {
      this.#isRunning = false
    }
  }

  async #unfinished(): Promise<Progress | undefined> {
    const last = await this.last()
    return last?.endedAt === undefined ? last : undefined
  }
}

async function scrubAll(run: Run, begun: Progress | undefined): Promise<void> {
  const { store, clock, dryRun, report } = run
  const startedAt = begun?.startedAt ?? clock.now()
  const save = async (progress: Pick<Progress, 'after' | 'endedAt'>) => {
    if (!dryRun) await saveProgress(store, { startedAt, ...progress, report })
  }
  let after = begun?.after
  if (after === undefined) await save({})
  for (const shard of shards) {
    if (after !== undefined && shard <= after) continue
    if (!(await scrubShard(run, shard))) continue
    after = shard
    await save({ after })
  }
  await scrubRecords(run)
  await tellQuarantine(run)
  await save({ endedAt: clock.now() })
}
