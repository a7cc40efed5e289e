/** Files of the store that cannot be read: a cache does without them, and says so. */
import type { Logger } from '../../observe/log.ts'
import { Quiet } from '../../observe/quiet.ts'
import { isCode } from './system-error.ts'

export class Unreadable {
  readonly #log: Logger
  readonly #quiet = new Quiet()

  constructor(log: Logger) {
    this.#log = log
  }

  /** What `read` gives; undefined when the file is not there or cannot be read. */
  async orAbsent<T>(path: string, read: () => Promise<T | undefined>): Promise<T | undefined> {
    try {
      return await read()
    } catch (error) {
      return isCode(error, 'ENOENT') ? undefined : this.report(path, error)
    }
  }

  /** For an error that is no absence: the file counts as absent all the same. */
  report(path: string, error: unknown): undefined {
    const cause = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    this.#quiet.say(cause, () =>
      this.#log.error(
        { path, err: error },
        'the store cannot be read: going on as if the file were not there',
      ),
    )
    return undefined
  }
}
