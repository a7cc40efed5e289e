/** A file that stands while a process has the store: who finds it there knows that the last one did not close it, and when it was last alive. */
import { rmSync } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Logger } from '../../observe/log.ts'
import { systemClock as clock } from '../../runtime/clock.ts'
import { syncFolder } from './folders.ts'
import { ifThere } from './system-error.ts'

/** Milliseconds since the epoch; `to` is not part of it. */
export interface Span {
  readonly from: number
  readonly to: number
}

interface LifeTimes {
  /** How often the file is touched. */
  readonly everyMs?: number
  /** What a run does not look at in so long, a later one need not either. */
  readonly settledMs?: number
}

/** By then a disk has kept what it promised, also one that promises too early. */
const marginMs = 600_000
const content = '{"v":1}'

export class Life {
  /** When what was written may not have reached the disk; undefined: the store was closed. */
  readonly doubtful: Span | undefined
  readonly #path: string
  readonly #settledAt: number
  readonly #timer: NodeJS.Timeout
  #isTouching = false

  private constructor(path: string, doubtful: Span | undefined, { everyMs, settledMs }: Required<LifeTimes>) {
    this.doubtful = doubtful
    this.#path = path
    this.#settledAt = doubtful ? clock.monotonic() + settledMs : 0
    this.#timer = setInterval(() => void this.#touch(), everyMs).unref()
  }

  /** A disk that does not take the file costs no more than what it is for. */
  static async begin(path: string, log: Logger, times: LifeTimes = {}): Promise<Life> {
    const { everyMs = 60_000, settledMs = 3_600_000 } = times
    let doubtful: Span | undefined
    try {
      const aliveAt = await touchedAt(path)
      if (aliveAt === undefined) await leave(path)
      else {
        const now = clock.now()
        const isFast = aliveAt > now // the clock was wrong, then or now
        doubtful = { from: aliveAt - marginMs, to: isFast ? aliveAt + 2 * everyMs : now }
      }
    } catch (err) {
      log.warn({ path, err }, 'an unclean stop would not be noticed: its file cannot be written')
    }
    return new Life(path, doubtful, { everyMs, settledMs })
  }

  /** The store is closed. After a short run that began in doubt the file stays as it was found. */
  end(): void {
    clearInterval(this.#timer)
    try {
      if (this.#isSettled) rmSync(this.#path, { force: true })
    } catch {
      // then the next run looks at more than it has to
    }
  }

  get #isSettled(): boolean {
    return clock.monotonic() >= this.#settledAt
  }

  /** Not made anew: this run may just have ended. */
  async #touch(): Promise<void> {
    if (this.#isTouching || !this.#isSettled) return
    this.#isTouching = true
    try {
      await using file = await open(this.#path, 'r+')
      await file.write(content, 0)
    } catch {
      // then the next run looks at more than it has to
    } finally {
      this.#isTouching = false
    }
  }
}

/** By the clock of the file system, as of all other files; undefined when there is none. */
async function touchedAt(path: string): Promise<number | undefined> {
  return (await ifThere(stat(path)))?.mtimeMs
}

/** Found there also after a power cut. */
async function leave(path: string): Promise<void> {
  await using file = await open(path, 'w')
  await file.write(content, 0)
  await file.sync()
  await syncFolder(dirname(path))
}
