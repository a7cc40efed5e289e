/** The bound on a whole exchange, whatever it consists of. */
import type { Clock } from '../../runtime/clock.ts'
import type { AskOptions } from '../upstream.ts'

export class Deadline implements Disposable {
  /** The caller's signal, the deadline's, or both. */
  readonly signal: AbortSignal | undefined
  readonly #over = new AbortController()
  readonly #cancel = new AbortController()

  constructor({ signal, totalMs }: AskOptions, clock: Clock) {
    this.signal = signal
    if (totalMs === undefined) return
    this.signal = signal ? AbortSignal.any([signal, this.#over.signal]) : this.#over.signal
    clock.sleep(totalMs, this.#cancel.signal).then(
      () => this.#over.abort(new DOMException('out of time', 'TimeoutError')),
      () => {}, // cancelled: the exchange ended in time
    )
  }

  get expired(): boolean {
    return this.#over.signal.aborted
  }

  [Symbol.dispose](): void {
    this.#cancel.abort()
  }
}
