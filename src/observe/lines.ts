/** Ready-made lines for the log, for what is told too often to be put together anew: gathered, and written in one go. */
import { type Logger, symbols } from 'pino'

/** So much is gathered at most, and for so long. */
const batchLength = 64 * 1024
const gatherMs = 20

export class Lines {
  readonly #destination: { write(text: string): unknown }
  readonly #log: Logger
  #waiting = ''
  #timer: NodeJS.Timeout | undefined

  /** Goes where the logger's lines go. */
  constructor(log: Logger) {
    this.#log = log
    this.#destination = (log as unknown as Record<symbol, { write(text: string): unknown }>)[
      symbols.streamSym
    ] ?? { write: () => {} }
  }

  /** Whether anybody reads lines of level `info`. */
  get wanted(): boolean {
    return this.#log.isLevelEnabled('info')
  }

  /** As the logger would tell it, a third as dear. No field is a secret or an error. */
  info(fields: Readonly<Record<string, unknown>>, msg: string): void {
    if (!this.wanted) return
    this.write(`${JSON.stringify({ level: 'info', time: new Date(), ...fields, msg })}\n`)
  }

  /** @param line whole, with its end */
  write(line: string): void {
    this.#timer ??= setTimeout(() => this.flush(), gatherMs)
    this.#waiting += line
    if (this.#waiting.length >= batchLength) this.flush()
  }

  /** Writes what waits. The timer that does so else keeps the process alive until it has. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const text = this.#waiting
    this.#waiting = ''
    if (text !== '') this.#destination.write(text)
  }
}
