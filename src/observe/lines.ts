/** Ready-made lines for the log, for what is told too often to be put together anew: gathered, and written in one go. */
import { type Logger, symbols } from 'pino'

/** So much is gathered at most. */
const batchLength = 32 * 1024

export class Lines {
  readonly #destination: { write(text: string): unknown }
  readonly #log: Logger
  #waiting = ''

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

  /** @param line whole, with its end; written before the process does anything else that it waits for */
  write(line: string): void {
    if (this.#waiting === '') setImmediate(() => this.#flush())
    this.#waiting += line
    if (this.#waiting.length >= batchLength) this.#flush()
  }

  #flush(): void {
    const text = this.#waiting
    this.#waiting = ''
    if (text !== '') this.#destination.write(text)
  }
}
