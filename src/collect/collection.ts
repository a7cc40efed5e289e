/** Garbage collection of what was pushed, while everything goes on: begun anew each time, it can end at any moment. */
import { localRepositories } from '../index/folders.ts'
import { Ages } from '../runtime/ages.ts'
import type { RepositoryKey } from '../store/layout.ts'
import { collectBytes } from './bytes.ts'
import { collectRepository } from './repository.ts'
import type { CollectionDeps, CollectOptions, Report, Run } from './run.ts'

export class Collection {
  readonly #deps: CollectionDeps
  readonly #ages: Ages
  #isRunning = false

  constructor(deps: CollectionDeps) {
    this.#deps = deps
    this.#ages = new Ages(deps.clock)
  }

  /**
   * From the top down: tags and manifests by policy, then blobs that no manifest lists, then bytes that no repository
   * holds. What only a manifest that went had listed goes the next time.
   *
   * @throws the signal's reason, an error of the disk, or an Error when one is under way
   */
  async collect({ dryRun = false, signal, told = () => {} }: CollectOptions = {}): Promise<Report> {
    if (this.#isRunning) throw new Error('a collection is under way')
    this.#isRunning = true
    const { collections } = this.#deps.metrics
    const run: Run = {
      ...this.#deps,
      dryRun,
      signal: signal ?? new AbortController().signal,
      told,
      isPast: (since, ms) => this.#ages.isPast(since, ms),
      report: { tags: 0, manifests: 0, blobs: 0, files: 0, bytes: 0, spared: 0, skipped: 0 },
      doomed: new Set(),
    }
    try {
      await collectAll(run)
      if (!dryRun) collections.inc({ result: 'done' })
      return run.report
    } catch (error) {
      if (!dryRun) collections.inc({ result: run.signal.aborted ? 'stopped' : 'failed' })
      throw error
    } finally {
      this.#isRunning = false
    }
  }
}

async function collectAll(run: Run): Promise<void> {
  for await (const key of localRepositories(run.store)) {
    run.signal.throwIfAborted()
    await collectOrSkip(run, key)
  }
  await collectBytes(run)
}

/** What one repository suffers from is no reason to leave the others alone. */
async function collectOrSkip(run: Run, key: RepositoryKey): Promise<void> {
  try {
    await collectRepository(run, key)
  } catch (error) {
    if (run.signal.aborted) throw error
    run.report.skipped += 1
    run.log.error(
      { repository: key.repository, err: error },
      'nothing more is collected from this repository while it cannot be read: push what is damaged again, or delete it',
    )
  }
}
