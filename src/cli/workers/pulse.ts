/** Whether the primary still says anything, as one of its servers sees it. */

/** It has a word for each server every 10 to 20 seconds. */
const patience = { ticks: 30, tickMs: 1000 }

export class Pulse {
  readonly #ticks: number
  readonly #timer: NodeJS.Timeout
  #silence = new AbortController()
  #silentTicks = 0

  constructor({ ticks, tickMs } = patience) {
    this.#ticks = ticks
    // Counted, not measured: a pause of the whole machine is one tick, and no silence of anybody.
    this.#timer = setInterval(() => this.#tick(), tickMs).unref()
  }

  /** The primary has said something. */
  beat(): void {
    this.#silentTicks = 0
    if (this.#silence.signal.aborted) this.#silence = new AbortController()
  }

  /** Aborted while the primary hangs. */
  get silence(): AbortSignal {
    return this.#silence.signal
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #tick(): void {
    this.#silentTicks += 1
    if (this.#silentTicks === this.#ticks) this.#silence.abort(new Error('the primary says nothing'))
  }
}
