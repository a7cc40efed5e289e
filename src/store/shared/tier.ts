/**
 * The object store as the rest of the store uses it: found to be ours before anything else, and left alone for a while
 * by those who can do without it when it does not answer.
 */
import type { Logger } from '../../observe/log.ts'
import { Quiet } from '../../observe/quiet.ts'
import type { Clock } from '../../runtime/clock.ts'
import { type Objects, ObjectsFailure } from '../objects.ts'

/** So long nobody who can do without it asks an object store that failed. */
export const restMs = 5_000

export interface TierDeps {
  readonly objects: Objects
  /** Resolves when the object store is known to be this store's. */
  readonly settle: (objects: Objects) => Promise<void>
  /** Who can do without it waits no longer. */
  readonly patienceMs: number
  readonly clock: Clock
  readonly log: Logger
}

export class Tier {
  readonly #deps: TierDeps
  readonly #quiet: Quiet
  #settling: Promise<void> | undefined
  #restsUntil = Number.NEGATIVE_INFINITY
  #isFailing = false
  #isClosed = false

  constructor(deps: TierDeps) {
    this.#deps = deps
    this.#quiet = new Quiet(deps.clock)
  }

  get name(): string {
    return this.#deps.objects.name
  }

  get isConditional(): boolean {
    return this.#deps.objects.isConditional
  }

  /** What it was asked for last it did. */
  get isWorking(): boolean {
    return !this.#isFailing
  }

  /** It has not just failed. */
  get isUp(): boolean {
    return this.#deps.clock.monotonic() >= this.#restsUntil
  }

  /** Rejects with ObjectsFailure when the object store does not do it. */
  async use<T>(task: (objects: Objects) => Promise<T>): Promise<T> {
    try {
      await this.#settled()
      const result = await task(this.#deps.objects)
      this.#works()
      return result
    } catch (error) {
      if (error instanceof ObjectsFailure) this.#fails(error)
      throw error
    }
  }

  /** Undefined also when the object store does not answer, or not soon. Never rejects with ObjectsFailure. */
  async ifUp<T>(
    task: (objects: Objects, signal: AbortSignal) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    if (!this.isUp) return undefined
    const { patienceMs } = this.#deps
    const late = new AbortController()
    const giveUp = () =>
      late.abort(new ObjectsFailure('timeout', `${this.name}: no answer in ${patienceMs} ms`))
    let soon: NodeJS.Immediate | undefined
    const timer = setTimeout(() => {
      soon = setImmediate(giveUp) // what came while this process was busy is not late
    }, patienceMs)
    try {
      const asked = this.use(objects => task(objects, late.signal)) // finds out first whose it is
      return await orLate(asked, late.signal)
    } catch (error) {
      if (!(error instanceof ObjectsFailure)) throw error
      if (error === late.signal.reason) this.#fails(error)
      return undefined
    } finally {
      clearTimeout(timer)
      clearImmediate(soon)
    }
  }

  close(): void {
    this.#isClosed = true
    this.#deps.objects.close()
  }

  /** Once for all; after a failure the next one tries again. */
  #settled(): Promise<void> {
    this.#settling ??= this.#deps.settle(this.#deps.objects).catch((error: unknown) => {
      this.#settling = undefined
      throw error
    })
    return this.#settling
  }

  #works(): void {
    if (!this.#isFailing) return
    this.#isFailing = false
    this.#restsUntil = Number.NEGATIVE_INFINITY
    this.#deps.log.info({ store: this.name }, 'the object store answers again')
  }

  #fails(error: ObjectsFailure): void {
    if (this.#isClosed) return
    this.#isFailing = true
    this.#restsUntil = this.#deps.clock.monotonic() + restMs
    this.#quiet.say(error.trouble, () =>
      this.#deps.log.error(
        { store: this.name, trouble: error.trouble, err: error },
        'the object store does not do what it is asked to: what is on the disk is served, pushes are refused',
      ),
    )
  }
}

/** The task may notice the signal late, or not at all. */
async function orLate<T>(task: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const end = () => reject(signal.reason as Error)
  signal.addEventListener('abort', end, { once: true })
  task.catch(() => {}) // after the end nobody asks
  try {
    return await Promise.race([task, promise])
  } finally {
    signal.removeEventListener('abort', end)
  }
}
