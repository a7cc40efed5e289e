/** Long work that is started, watched and called off: one at a time, whoever starts it. */
import type { Logger } from '../observe/log.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Background } from '../stream/background.ts'
import { AdminError } from './failure.ts'

export interface Watching<F> {
  readonly signal: AbortSignal
  /** Told of each thing as it is found. */
  readonly told: (finding: F) => void
}

export interface JobDeps<O, F, R> {
  /** `garbage collection` */
  readonly name: string
  readonly task: (options: O, watching: Watching<F>) => Promise<R>
  readonly clock: Clock
  readonly log: Logger
  readonly background: Pick<Background, 'run'>
  /** The stop. */
  readonly signal: AbortSignal
}

export interface JobView<O, F, R> {
  readonly id: number
  readonly state: 'running' | 'done' | 'failed' | 'cancelled'
  readonly options: O
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly endedAt: number | undefined
  /** Of one that is done. */
  readonly report: R | undefined
  /** Of one that failed. */
  readonly failure: string | undefined
  /** So many things were found up to now. */
  readonly found: number
  /** The last of them. */
  readonly findings: readonly F[]
}

/** Who watches asks every moment: so many at once nobody misses. */
const maxFindings = 10_000

interface Run<O, F, R> {
  readonly id: number
  readonly options: O
  readonly startedAt: number
  readonly cancelling: AbortController
  readonly findings: F[]
  found: number
  state: JobView<O, F, R>['state']
  endedAt: number | undefined
  report: R | undefined
  failure: string | undefined
  ended: Promise<void>
}

export class Job<O, F, R> {
  readonly #deps: JobDeps<O, F, R>
  #run: Run<O, F, R> | undefined

  constructor(deps: JobDeps<O, F, R>) {
    this.#deps = deps
  }

  get isRunning(): boolean {
    return this.#run?.state === 'running'
  }

  /** Begins it and waits for nothing. @throws AdminError CONFLICT (409) while it runs */
  start(options: O): void {
    const { name, log, background } = this.#deps
    const result = this.run(options)
    background.run(() =>
      result.catch((error: unknown) => {
        if (this.#run?.state === 'failed') log.error({ err: error }, `the ${name} that was asked for failed`)
      }),
    )
  }

  /**
   * Rejects with what the task rejects with.
   *
   * @throws AdminError CONFLICT (409) while it runs
   */
  run(options: O): Promise<R> {
    const { name, clock } = this.#deps
    if (this.isRunning)
      throw new AdminError('CONFLICT', `a ${name} is under way: watch it, or call it off first`)
    const run: Run<O, F, R> = {
      id: (this.#run?.id ?? 0) + 1,
      options,
      startedAt: clock.now(),
      cancelling: new AbortController(),
      findings: [],
      found: 0,
      state: 'running',
      endedAt: undefined,
      report: undefined,
      failure: undefined,
      ended: Promise.resolve(),
    }
    this.#run = run
    const result = this.#perform(run)
    run.ended = result.then(
      () => {},
      () => {}, // who began it is told
    )
    return result
  }

  /** As it is now, with what was found after so many things; undefined when none was ever started. */
  view(after = 0): JobView<O, F, R> | undefined {
    if (!this.#run) return undefined
    const { id, state, options, startedAt, endedAt, report, failure, found, findings } = this.#run
    const fresh = Math.max(0, Math.min(findings.length, found - after))
    const shown = findings.slice(findings.length - fresh)
    return { id, state, options, startedAt, endedAt, report, failure, found, findings: shown }
  }

  /** Resolves when it has ended. @throws AdminError NOT_FOUND (404) when none runs */
  async cancel(): Promise<void> {
    const run = this.#run
    if (run?.state !== 'running') throw new AdminError('NOT_FOUND', `no ${this.#deps.name} is under way`)
    run.cancelling.abort(new Error(`the ${this.#deps.name} was called off`))
    await run.ended
  }

  async #perform(run: Run<O, F, R>): Promise<R> {
    const { task, clock } = this.#deps
    const signal = AbortSignal.any([this.#deps.signal, run.cancelling.signal])
    const told = (finding: F) => {
      run.found += 1
      run.findings.push(finding)
      if (run.findings.length >= 2 * maxFindings) run.findings.splice(0, maxFindings)
    }
    try {
      run.report = await task(run.options, { signal, told })
      run.state = 'done'
      return run.report
    } catch (error) {
      run.state = signal.aborted ? 'cancelled' : 'failed'
      if (!signal.aborted) run.failure = error instanceof Error ? error.message : String(error)
      throw error
    } finally {
      run.endedAt = clock.now()
    }
  }
}
