/** Time as the program takes it, so that tests can bring their own. */
import { setTimeout as sleepReal } from 'node:timers/promises'

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Milliseconds from an arbitrary start that never go back. */
  monotonic(): number
  /** Rejects with the signal's reason when it is aborted first. Does not keep the process alive. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    try {
      await sleepReal(ms, undefined, signal ? { signal, ref: false } : { ref: false })
    } catch (error) {
      throw signal?.aborted ? signal.reason : error
    }
  },
}
