/** What is looked after once an hour: leavings deleted, pins looked up, garbage collected, the store scrubbed; and the index whenever it was lost. */
import type { MayBeDry } from '../../admin/deps.ts'
import { Job } from '../../admin/job.ts'
import { Collection } from '../../collect/collection.ts'
import type { Report as Collected, Finding as Garbage, Policy } from '../../collect/run.ts'
import type { Config } from '../../config/config.ts'
import type { Logger } from '../../observe/log.ts'
import type { Metrics } from '../../observe/metrics.ts'
import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Finding as Damage, Report as Scrubbed } from '../../scrub/run.ts'
import { Scrub } from '../../scrub/scrub.ts'
import type { RepositoryKey } from '../../store/layout.ts'
import type { Parts } from '../parts.ts'
import { Collecting } from './collecting.ts'
import { Completing } from './completing.ts'
import { Scrubbing } from './scrubbing.ts'

export interface UpkeepDeps
  extends Pick<Parts, 'store' | 'pins' | 'catalog' | 'life' | 'holdings' | 'push' | 'background'> {
  /** In force at the moment. */
  readonly config: () => Config
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  /** Whether what was pushed is ours to look after. */
  readonly mayCollect: () => boolean
  readonly policyOf: (key: RepositoryKey) => Policy | undefined
  /** Pushed bytes were damaged, and are not to be given any more. */
  readonly quarantined: (digest: Digest) => void
  /** The stop. */
  readonly signal: AbortSignal
}

const everyMs = 3_600_000

function notOurs(): RegistryError {
  return new RegistryError('UNAVAILABLE', 'another replica owns what was pushed: have it collect the garbage')
}
/** An upload into a bucket takes less. */
const partsLifeMs = 86_400_000

export class Upkeep {
  readonly collections: Job<MayBeDry, Garbage, Collected>
  readonly scrubs: Job<MayBeDry, Damage, Scrubbed>
  readonly #deps: UpkeepDeps
  readonly #collecting: Collecting
  readonly #scrubbing: Scrubbing

  constructor(deps: UpkeepDeps) {
    const { config } = deps
    this.#deps = deps
    const collection = new Collection({ ...deps, graceMs: () => config().collection.graceMs })
    const scrub = new Scrub({ ...deps, bytesPerSecond: () => config().scrub.bytesPerSecond })
    this.collections = new Job({
      ...deps,
      name: 'garbage collection',
      task: async (options, watching) => {
        if (!deps.mayCollect()) throw notOurs()
        const report = await collection.collect({ ...options, ...watching })
        if (!options.dryRun) deps.background.run(() => deps.push.quotas.recount())
        return report
      },
    })
    this.scrubs = new Job({
      ...deps,
      name: 'scrub',
      task: (options, watching) => scrub.run({ ...options, ...watching }),
    })
    this.#collecting = new Collecting({
      ...deps,
      collect: () => this.collections.run({ dryRun: false }),
      everyMs: () => config().collection.everyMs,
    })
    this.#scrubbing = new Scrubbing({
      ...deps,
      scrub: { run: () => this.scrubs.run({ dryRun: false }), last: () => scrub.last() },
      everyMs: () => config().scrub.everyMs,
    })
  }

  /** Resolves when the signal ends it; never rejects. */
  async run(): Promise<void> {
    const { background, clock, signal } = this.#deps
    const isShared = this.#deps.config().index !== undefined
    background.run(() => new Completing({ ...this.#deps, isShared }).run())
    while (!signal.aborted) {
      await this.#reap()
      await this.#deps.pins.refresh()
      if (!this.scrubs.isRunning) background.run(() => this.#scrubbing.ifDue(signal)) // for hours, perhaps
      if (!this.collections.isRunning && this.#deps.mayCollect()) await this.#collecting.ifDue(signal)
      await clock.sleep(everyMs, signal).catch(() => {}) // the stop ends the loop
    }
  }

  async #reap(): Promise<void> {
    const { store, push, config, clock, log } = this.#deps
    try {
      const files = await store.reapPartials(config().limits.partialMs, clock.now())
      const uploads = await push.uploads.reap()
      await this.#reapShared()
      if (files + uploads > 0)
        log.info({ files, uploads }, 'deleted what unfinished fetches and uploads had left behind')
    } catch (error) {
      log.error({ err: error }, 'what was left unfinished could not be looked through')
    }
  }

  /** What no upload that is still going on can be. A bucket that fails has been told of. */
  async #reapShared(): Promise<void> {
    const { store, clock, log } = this.#deps
    const parts = await store.shared?.reap(partsLifeMs, clock.now()).catch(() => 0)
    if (parts) log.info({ parts }, 'aborted uploads into the bucket that had never ended')
  }
}
